"""The stage *authenticate*: whose request it is, decided in memory.

1. The way in is chosen by the head; it checks the time window and the signature (`ways`, `proof`).
2. Then what all ways share: the credential's and project's state, its expiry, the networks it may be used
   from; then the nonce, which is set if it was absent, in one step.
3. Whatever was wrong, the answer is the same, byte for byte; only the journal knows the reason.
4. Failures are counted by address and by claimed credential; past a limit the answer is 429, whatever is
   sent, but for a credential that proved itself from that address before.
5. A head that proved an API key is remembered with the key, so that the next request of the connection
   costs no look-up; a changed key is noticed by its object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.nonces import Nonces, Verdict
from abyssal.gateway.auth.proof import Proof, Unproven
from abyssal.gateway.auth.ways import Ways
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.principal import Credential
from abyssal.stores.brake import Attempts
from abyssal.wire.errors import ApiError, AuthenticationError, RateLimitError, UnavailableError

# Proved, and no longer good: held against the credential, not against its whole address.
_ENDED = frozenset({"expired", "archived", "revoked"})
_BELIEVED = 600.0  # seconds for which a head is believed; then the brakes hear again who is there


class Clock(Protocol):
    """Where the time windows are."""

    def monotonic(self) -> float: ...
    def unix_ns(self) -> int: ...


class Note(Protocol):
    """Takes note of a failed attempt. Nothing secret is in it."""

    def __call__(self, *, address: str, way: str, reason: str, credential: str) -> None: ...


class Authentication:
    """See the module. `authenticate` sets `exchange.principal`."""

    def __init__(
        self, ways: Ways, directory: Directory, nonces: Nonces, attempts: Attempts, clock: Clock, note: Note
    ) -> None:
        self._ways = ways
        self._of_key = directory.of_key
        self._nonces = nonces
        self._attempts = attempts
        self._unix_ns, self._monotonic = clock.unix_ns, clock.monotonic
        self._note = note

    def authenticate(self, exchange: Exchange) -> asyncio.Future[None] | None:
        """Set the principal, or raise the ApiError that the client is told.

        A future: the principal is known when it is done, or it raises. Cancel it when the client leaves.
        """
        head, now = exchange.head, self._monotonic()
        known = head.proven
        if known is not None and known.live and now < head.proven_until and self._is_in_force(known):
            exchange.principal = known.principal
            return None
        # The usual case: an API key, alone, that is good. Everything else goes the long way.
        field = head.authorization
        if (
            field is not None
            and field.startswith(b"Bearer sk-")
            and head.x_api_key is None
            and not head.proof
        ):
            known = self._of_key(field[7:])
            if known is not None and self._is_in_force(known) and not self._attempts.engaged(now):
                self._attempts.proved(known.id, exchange.client.address_of(head), now)
                head.proven, head.proven_until = known, now + _BELIEVED
                exchange.principal = known.principal
                return None
        return self._prove(exchange)

    def _is_in_force(self, known: Credential) -> bool:
        """Whether it is good from everywhere, now."""
        project = known.project
        return (
            project.active
            and known.networks is None
            and not project.networks
            and (not known.expires_at or self._unix_ns() < known.expires_at)
        )

    def _prove(self, exchange: Exchange) -> asyncio.Future[None] | None:
        address = exchange.client.address_of(exchange.head)
        way_name, claimed, now_ns = "", "", self._unix_ns()
        try:
            known = exchange.head.proven
            if known is not None and known.live and self._monotonic() < exchange.head.proven_until:
                self._check(known, address, now_ns)  # a socket's upgrade, proved once; bound to networks
                exchange.principal = known.principal
                return None
            way = self._ways.of(exchange.head)
            way_name = way.name
            now = self._monotonic()
            if self._attempts.engaged(now):
                claimed = way.claimed(exchange)
                self._check_attempts(claimed, address, now)
            try:
                proof = way.prove(exchange, now_ns)
            except Unproven:
                claimed = way.claimed(exchange)  # there or not: a brake must not tell
                raise
            credential = proof.principal.credential
            self._check(credential, address, now_ns)
        except Unproven as why:
            raise self._failed(why, way_name, address, why.credential or claimed) from None
        if not proof.nonce:
            self._proved(exchange, proof, address)
            return None
        verdict = self._nonces.claim(proof.nonce, proof.until, now_ns)
        if isinstance(verdict, Verdict):
            self._judge(verdict, exchange, proof, way_name, address)
            return None
        return self._later(verdict, lambda known: self._judge(known, exchange, proof, way_name, address))

    def _check_attempts(self, claimed: str, address: str, now: float) -> None:
        wait = self._attempts.blocked(claimed, address, now)
        if wait:
            raise RateLimitError(
                "Too many failed attempts; wait before the next one.",
                code="too_many_failures",
                retry_after=wait,
            )

    def _check(self, credential: Credential, address: str, now_ns: int) -> None:
        if not credential.project.active:
            raise Unproven("archived", credential.id, counts=False)
        if credential.expires_at and now_ns >= credential.expires_at:
            raise Unproven("expired", credential.id, counts=False)
        if not credential.admits(address):
            raise Unproven("network", credential.id)

    def _judge(self, verdict: Verdict, exchange: Exchange, proof: Proof, way: str, address: str) -> None:
        if verdict is Verdict.FRESH:
            self._proved(exchange, proof, address)
        elif verdict is Verdict.SEEN or verdict is Verdict.STALE:
            why = Unproven(
                "replayed" if verdict is Verdict.SEEN else "stale", proof.principal.id, counts=False
            )
            raise self._failed(why, way, address, why.credential)
        else:
            raise _full() if verdict is Verdict.FULL else _down()

    def _proved(self, exchange: Exchange, proof: Proof, address: str) -> None:
        self._attempts.proved(proof.principal.id, address, self._monotonic())
        exchange.principal = proof.principal

    def _failed(self, why: Unproven, way: str, address: str, claimed: str) -> ApiError:
        if why.counts or why.reason in _ENDED:
            self._attempts.failed(claimed, address, self._monotonic(), stranger=why.counts)
        self._note(address=address, way=way, reason=why.reason, credential=why.credential)
        return refusal()

    def _later(
        self, verdict: asyncio.Future[Verdict], judge: Callable[[Verdict], None]
    ) -> asyncio.Future[None]:
        done: asyncio.Future[None] = verdict.get_loop().create_future()

        def known(claim: asyncio.Future[Verdict]) -> None:
            if done.cancelled():
                return
            try:
                judge(Verdict.DOWN if claim.cancelled() else claim.result())
            except ApiError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        verdict.add_done_callback(known)
        return done


def _full() -> UnavailableError:
    return UnavailableError(
        "No more signed requests can be remembered at the moment; try again shortly with a new nonce.",
        code="nonce_store_full",
        retry_after=1,
    )


def _down() -> UnavailableError:
    return UnavailableError(
        "What remembers nonces cannot be reached; try again shortly with a new nonce.",
        code="nonce_store_down",
        retry_after=1,
    )


def refusal() -> AuthenticationError:
    """What every failed attempt is told."""
    return AuthenticationError(
        "Authentication Fails: this request has no valid credential. Check the key, token or signature and "
        "the clock of the machine that sent it; docs/identity.md shows each way in."
    )
