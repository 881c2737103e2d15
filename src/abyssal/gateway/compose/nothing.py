"""The stage *compose* of a platform that keeps nothing."""

from __future__ import annotations

import asyncio

from abyssal.gateway.exchange import Exchange


class ComposesNothing:
    """Leaves every request as it is."""

    def compose(self, exchange: Exchange) -> asyncio.Future[None] | None:
        """None: the request is whole."""
        return None
