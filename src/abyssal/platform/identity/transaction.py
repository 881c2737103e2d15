"""One management request's turn with the database: who asks, what they may, and when it is.

Writers stand in a row: each begins by counting the revision, whose row is locked until its transaction ends.
So what a writer checked (the last owner, an idempotency key, a parent's limits) holds when it writes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from abyssal.platform.identity.caller import load_caller
from abyssal.platform.identity.rules import LOCAL, Caller, Located, Permission, judge
from abyssal.platform.plane import ControlPlane
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import AuthenticationError, NotFoundError, PermissionDeniedError


class Proof(NamedTuple):
    """What the data plane vouches for: which credential was proved, and the scopes (bits) of the proof."""

    credential: str
    scopes: int


@dataclass
class Transaction:
    """What services are given. `revision` stamps what changes (0 when reading); `now_ns` is Unix time.

    `judged` is whether the rules were asked: nothing leaves a transaction where they were not.
    """

    connection: Connection
    vault: Vault
    caller: Caller
    permission: Permission
    now_ns: int
    revision: int
    judged: bool = False

    def allow(self, what: Located, permission: Permission | None = None) -> None:
        """Raise unless the caller has the route's permission for what is at `what`.

        NotFoundError where they may not even know of it, PermissionDeniedError else. With `permission` it is
        about something else than the route's object, such as the project that it will be in.
        """
        verdict = judge(self.caller, permission or self.permission, what)
        if verdict == "hidden":
            raise nothing_here()
        if verdict == "denied":
            raise self.denied()
        self.judged = self.judged or permission is None

    def denied(self) -> PermissionDeniedError:
        """The error for what the caller may see but not do."""
        return PermissionDeniedError(
            f"The role {self.caller.standing} does not allow this ({self.permission}) here; ask "
            "somebody with a higher one."
        )


@contextmanager
def transaction(
    plane: ControlPlane, proof: Proof | None, permission: Permission, *, changes: bool
) -> Generator[Transaction]:
    """A transaction for the caller that `proof` names; on a local plane for the owner of the data.

    It is committed at the end if `changes` and nothing was raised. Raises AuthenticationError,
    PermissionDeniedError when the proof lacks the scope `admin`, and RuntimeError when the block ends
    without having asked the rules.
    """
    now_ns = plane.clock.unix_ns()
    if changes:
        with plane.engine.connect() as connection:  # strangers do not stand in the row of writers
            _administrator(plane, connection, proof, now_ns)
    with plane.engine.begin() if changes else plane.engine.connect() as connection:
        revision = next_revision(connection) if changes else 0
        caller = _administrator(plane, connection, proof, now_ns)
        turn = Transaction(connection, plane.vault, caller, permission, now_ns, revision)
        yield turn
        if not turn.judged:
            raise RuntimeError(f"a request for {permission} never asked whether it may")
    if caller.credential:
        plane.uses.note(plane.engine, caller.credential, now_ns=now_ns)


def _administrator(plane: ControlPlane, connection: Connection, proof: Proof | None, now_ns: int) -> Caller:
    caller = _caller(plane, connection, proof, now_ns)
    if not caller.administers:
        raise PermissionDeniedError(
            'Management needs the scope "admin", which these credentials do not have; use others.',
            code="scope_missing",
        )
    return caller


def nothing_here() -> NotFoundError:
    """The answer for what does not exist, and, to the byte, for what is another tenant's."""
    return NotFoundError(
        "There is nothing of that id that these credentials can see; check the id, or use other credentials."
    )


def _caller(plane: ControlPlane, connection: Connection, proof: Proof | None, now_ns: int) -> Caller:
    if plane.local:
        return LOCAL
    if proof is None:
        raise AuthenticationError("Management needs credentials; send a key with the scope admin.")
    return load_caller(connection, proof.credential, proof.scopes, now_ns=now_ns)
