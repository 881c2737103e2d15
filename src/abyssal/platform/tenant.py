"""One request of a tenant's own turn with the database: whose project, what the proof allows, and when it is.

Unlike management (`identity.transaction`) it changes nothing that workers are told, and needs no role: what a
project owns is there for each of its credentials that has the route's scope.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from abyssal.platform.identity.caller import load_caller
from abyssal.platform.identity.rules import Caller
from abyssal.platform.identity.transaction import Proof
from abyssal.platform.plane import ControlPlane
from abyssal.stores.rights import BITS, Scope
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import AuthenticationError, PermissionDeniedError


@dataclass
class TenantTransaction:
    """What services are given. `now_ns` is Unix time."""

    plane: ControlPlane
    connection: Connection
    caller: Caller
    now_ns: int
    judged: bool = True  # before it began: the scope is all that is asked

    @property
    def vault(self) -> Vault:
        """Where secrets rest."""
        return self.plane.vault


@contextmanager
def tenant_transaction(
    plane: ControlPlane, proof: Proof | None, scope: Scope, *, changes: bool
) -> Generator[TenantTransaction]:
    """A transaction for the project of the credential that `proof` names, committed at the end if `changes`.

    Raises AuthenticationError without a proof, PermissionDeniedError when the scope is missing.
    """
    if proof is None:
        raise AuthenticationError("This route needs credentials; send a key.", code="missing_api_key")
    now_ns = plane.clock.unix_ns()
    if changes:
        with plane.engine.connect() as connection:  # strangers do not stand in the row of writers
            _caller(connection, proof, scope, now_ns)
    with plane.engine.begin() if changes else plane.engine.connect() as connection:
        yield TenantTransaction(plane, connection, _caller(connection, proof, scope, now_ns), now_ns)
    plane.uses.note(plane.engine, proof.credential, now_ns=now_ns)


def _caller(connection: Connection, proof: Proof, scope: Scope, now_ns: int) -> Caller:
    caller = load_caller(connection, proof.credential, proof.scopes, now_ns=now_ns)
    if not caller.limits.scopes & BITS[scope]:
        raise PermissionDeniedError(
            f"This credential lacks the scope `{scope}`; use one that has it, or have it added.",
            code="scope_missing",
        )
    return caller
