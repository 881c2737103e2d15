"""Caps on calls at once: per key and for the process."""

from __future__ import annotations

from abyssal.gateway.exchange import Exchange
from abyssal.wire.errors import RateLimitError, UnavailableError


class ConcurrencyCaps:
    """The stage *admit*. Counting is in this process: a worker's caps are its own."""

    def __init__(self, *, total: int, per_key: int) -> None:
        self._total = total
        self._per_key = per_key
        self._by_key: dict[str, int] = {}  # only keys with calls at work are in it
        self.in_flight = 0

    def admit(self, exchange: Exchange) -> None:
        """Take a place, or raise RateLimitError (429, the key's cap) or UnavailableError (503, ours)."""
        key = exchange.principal
        assert key is not None
        if self.in_flight >= self._total:
            raise UnavailableError(
                f"Service is too busy: {self._total} calls are at work; try again shortly.",
                code="overloaded",
                retry_after=1,
            )
        current = self._by_key.get(key.id, 0)
        if current >= self._per_key:
            raise RateLimitError(
                f"Your current concurrency is {current}, the most for this key is {self._per_key}; "
                "wait for a call to end.",
                code="concurrency_exceeded",
                retry_after=1,
            )
        self._by_key[key.id] = current + 1
        self.in_flight += 1
        exchange.admitted = True

    def release(self, exchange: Exchange) -> None:
        """Give the place back; harmless when none was taken."""
        if exchange.admitted:
            exchange.admitted = False
            assert exchange.principal is not None
            key_id = exchange.principal.id
            self.in_flight -= 1
            left = self._by_key[key_id] - 1
            if left:
                self._by_key[key_id] = left
            else:
                del self._by_key[key_id]
