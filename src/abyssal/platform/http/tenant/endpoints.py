"""Every route of what a tenant owns as a row: method, path, the scope that it needs, what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from abyssal.platform.conversations import service
from abyssal.platform.conversations.drafts import ConversationDraft
from abyssal.platform.conversations.export import export_conversations
from abyssal.platform.http.once import Asked
from abyssal.platform.identity.pages import QUERY
from abyssal.platform.identity.transaction import Proof
from abyssal.platform.plane import ControlPlane
from abyssal.platform.tenant import TenantTransaction
from abyssal.stores.rights import Scope

Handle = Callable[[TenantTransaction, Asked], msgspec.Struct]
Export = Callable[[ControlPlane, Proof | None, Mapping[str, str]], AsyncIterator[bytes]]


class TenantEndpoint(msgspec.Struct, frozen=True):
    """One route. `query`: the parameters that it takes. `repeatable`: it takes an idempotency key.

    `body` is the type of its body, None where it takes none. `export` answers `?format=jsonl`.
    """

    method: str
    path: str
    scope: Scope
    handle: Handle
    query: tuple[str, ...] = ()
    body: type[msgspec.Struct] | None = None
    status: int = 200
    repeatable: bool = False
    export: Export | None = None

    @property
    def changes(self) -> bool:
        """Whether it writes."""
        return self.method != "GET"


TENANT_ENDPOINTS: tuple[TenantEndpoint, ...] = (
    TenantEndpoint(
        "POST",
        "/v1/conversations",
        "chat",
        lambda turn, asked: service.create_conversation(turn, asked.body),
        body=ConversationDraft,
        status=201,
        repeatable=True,
    ),
    TenantEndpoint(
        "GET",
        "/v1/conversations",
        "chat",
        lambda turn, asked: service.list_conversations(turn, asked.query),
        (*QUERY, "user_id", "format"),
        export=export_conversations,
    ),
    TenantEndpoint(
        "DELETE",
        "/v1/conversations",
        "chat",
        lambda turn, asked: service.forget_person(turn, asked.query),
        ("user_id",),
    ),
    TenantEndpoint(
        "GET",
        "/v1/conversations/{id}",
        "chat",
        lambda turn, asked: service.show_conversation(turn, asked.id, asked.query),
        QUERY,
    ),
    TenantEndpoint(
        "DELETE",
        "/v1/conversations/{id}",
        "chat",
        lambda turn, asked: service.remove_conversation(turn, asked.id),
    ),
)
