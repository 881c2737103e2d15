"""What a way in finds out about a request: whose it is, or why it proves nothing. No I/O, no clock."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.principal import Credential, Principal


class Unproven(Exception):
    """A request that does not prove what it claims.

    `reason` is for the journal alone, `credential` the id that was claimed, "" where none was.
    `counts` says whether it is an attempt that the brake should count; a replay of what was once proved
    is not.
    """

    def __init__(self, reason: str, credential: str = "", *, counts: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.credential, self.counts = reason, credential, counts


class Proof(NamedTuple):
    """Whose request it is, and the nonce that may be used once (`until` in Unix nanoseconds)."""

    principal: Principal
    nonce: bytes = b""
    until: int = 0


class Way(Protocol):
    """One way to prove who you are."""

    name: str

    def claimed(self, exchange: Exchange) -> str:
        """The id of the credential that the request claims to come from, "" when it names none."""
        ...

    def prove(self, exchange: Exchange, now_ns: int) -> Proof:
        """Whose it is, by time and signature. Raises Unproven."""
        ...


def live_secrets(credential: Credential, now_ns: int) -> list[bytes]:
    """What can prove the credential now: one secret, two while it is rotated."""
    return [
        secret.material
        for secret in credential.secrets
        if not secret.expires_at or now_ns < secret.expires_at
    ]
