"""Writes what calls were and what they used into the journal. It does not know who reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from abyssal.gateway.exchange import Exchange
from abyssal.stores.journal import JournalFullError, JournalWriter
from abyssal.stores.records import Failed, Opened, Refused, Settled
from abyssal.wire.errors import ApiError, UnavailableError
from abyssal.wire.usage import TokenUsage

_NOTHING = TokenUsage()


class WallClock(Protocol):
    """Where records get their times."""

    def unix_ns(self) -> int: ...


class Ledger:
    """The journal's side of the stages *admit* and *settle*. `now` is loop time, in seconds."""

    def __init__(self, journal: JournalWriter, clock: WallClock, now: Callable[[], float]) -> None:
        self._journal = journal
        self._unix_ns = clock.unix_ns
        self._now = now

    def open(self, exchange: Exchange, upstream: str) -> None:
        """Record that the upstream is about to be called.

        Raises UnavailableError (503) when the journal cannot take another call: the disk is full.
        """
        request, key = exchange.request, exchange.principal
        assert request is not None
        assert key is not None
        try:
            if not self._journal.has_room:
                self._journal.prepare()
            exchange.upstream_name = upstream
            self._journal.append(
                Opened(exchange.id, self._unix_ns(), key.id, request.model, upstream, bool(request.stream))
            )
        except JournalFullError as error:
            raise UnavailableError(
                f"The platform's journal cannot be written ({error}); its operator must free disk space.",
                code="journal_full",
                retry_after=30,
            ) from None

    def settle(self, exchange: Exchange) -> None:
        """Record how an opened call ended and what it used."""
        request, key, usage = exchange.request, exchange.principal, exchange.usage
        assert request is not None
        assert key is not None
        if usage is not None:
            estimated = bool(usage.estimated)
        else:
            estimated = exchange.status in (200, 499) or exchange.relayed_events > 0
            usage = _estimate(exchange) if estimated else _NOTHING
        started, first = exchange.started_at, exchange.first_byte_at
        self._journal.append(
            Settled(
                exchange.id,
                self._unix_ns(),
                key.id,
                request.model,
                exchange.upstream_name,
                bool(request.stream),
                exchange.status,
                exchange.code,
                usage.prompt_tokens,
                usage.completion_tokens,
                usage.cached_tokens,
                usage.reasoning_tokens,
                estimated,
                int((first - started) * 1e6) if first else 0,
                int((self._now() - started) * 1e6),
            )
        )

    def refuse(self, exchange: Exchange, error: ApiError) -> None:
        """Record a call that reached no upstream. A full journal loses these records, and only these."""
        key, request = exchange.principal, exchange.request
        refused = Refused(
            self._unix_ns(),
            key.id if key else "",
            request.model[:200] if request else "",
            error.status_code,
            str(error.code),
        )
        if self._journal.has_room:
            self._journal.append(refused)

    def failed(self, *, address: str, way: str, reason: str, credential: str) -> None:
        """Record an attempt that proved nothing; `credential` is the id that it claimed."""
        if self._journal.has_room:
            self._journal.append(Failed(self._unix_ns(), address, way, reason, credential[:40]))


def _estimate(exchange: Exchange) -> TokenUsage:
    """Four bytes of body to a token, one token to an event: for calls whose usage nobody reported."""
    prompt = max(1, len(exchange.body) // 4)
    return TokenUsage(prompt, exchange.relayed_events, prompt + exchange.relayed_events)
