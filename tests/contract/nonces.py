"""A store of nonces as a test asks it, and the words of its answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from abyssal.gateway.auth.nonce_redis import RedisNonces
from abyssal.gateway.auth.nonces import Nonces, Verdict
from abyssal.testing import ManualClock

SECOND = 10**9
FRESH, SEEN, STALE, FULL, DOWN = Verdict.FRESH, Verdict.SEEN, Verdict.STALE, Verdict.FULL, Verdict.DOWN


class Asked:
    """A store, and a clock that a test holds. Nonces are this test's own, since Redis is shared."""

    def __init__(self, store: Nonces) -> None:
        self.store = store
        self.clock = ManualClock()
        self._own = secrets.token_bytes(8)

    async def claim(self, nonce: str, life: float = 301) -> Verdict:
        """Claim a nonce that ends `life` seconds from now."""
        return await self.claim_until(nonce, self.clock.unix_ns() + int(life * SECOND))

    async def claim_until(self, nonce: str, until: int) -> Verdict:
        verdict = self.store.claim(self._own + nonce.encode(), until, self.clock.unix_ns())
        return verdict if isinstance(verdict, Verdict) else await verdict


@asynccontextmanager
async def redis_nonces(url: str) -> AsyncIterator[RedisNonces]:
    store = RedisNonces(url, loop=asyncio.get_running_loop())
    try:
        yield store
    finally:
        await store.aclose()
