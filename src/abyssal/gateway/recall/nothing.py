"""A cache that remembers nothing: the place where exact and semantic caches will stand."""

from __future__ import annotations

from abyssal.gateway.exchange import Exchange


class RemembersNothing:
    """The stage *recall*, always a miss."""

    def recall(self, exchange: Exchange) -> bool:
        """Whether `exchange` was answered from memory."""
        return False
