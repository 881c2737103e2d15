"""What every part of the control plane is given. It knows no route and no table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from abyssal.clock import Clock
from abyssal.config import ConversationsConfig, FilesConfig, IdentityConfig
from abyssal.platform.conversations.ordering import Ordering
from abyssal.platform.last_use import LastUse
from abyssal.wire.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from abyssal.stores.blobs import Blobs
    from abyssal.stores.sql.vault import Vault

T = TypeVar("T")


class Run(Protocol):
    """Does work with SQL on the thread that it belongs to, and waits for it."""

    async def __call__(self, work: Callable[[], T]) -> T: ...


class Failed(Protocol):
    """Takes note of a failed attempt to prove who one is; no secret is ever handed to it."""

    def __call__(self, *, address: str, way: str, reason: str, credential: str) -> None: ...


@dataclass(frozen=True)
class ControlPlane:
    """The collaborators of services and routes.

    `in_force` waits until every worker of this node has what was committed; False when one takes too long.
    `issuer` is the address that tokens name. `blobs` is where the bytes of stored files rest. `local` is true
    for a command on the machine itself, which needs no credential: it owns the data directory. `ordering`
    says whose turn it is in a conversation, `uses` notes who was here.
    """

    engine: Engine
    vault: Vault
    clock: Clock
    identity: IdentityConfig
    files: FilesConfig
    blobs: Blobs
    issuer: str
    run: Run
    in_force: Callable[[], Awaitable[bool]]
    failed: Failed
    local: bool = False
    conversations: ConversationsConfig = field(default_factory=ConversationsConfig)
    ordering: Ordering = field(default_factory=lambda: Ordering(0))
    uses: LastUse = field(default_factory=LastUse)


def not_in_force() -> UnavailableError:
    """The answer to a change that was stored and that a worker has not taken over in time."""
    return UnavailableError(
        "The change is stored and not yet in force in every worker; it will be in a moment. Ask again.",
        code="not_in_force",
        retry_after=1,
    )
