"""Nonces in Redis or Valkey, for several workers and replicas: `SET key NX PX`, one atomic step each.

1. Claims that come while others are under way travel together; at most `MOST_WAITING` wait, and none longer
   than two seconds. What cannot be asked is down, and nothing is taken then.
2. A key is `abyssal:nonce:` and a digest. It lives until its `until` and a minute more, since Redis has its
   own clock; it lives 16 minutes at most.
3. Redis has its own idea of time. A worker whose clock is set back raises a floor: what ends no later than
   what it has taken is stale.
4. A connection that ends under a question (Redis was restarted, or something closed it because it was idle)
   costs nobody a request: the question is asked once more. Each claim sets a value of its own, so that one
   that was taken already is known for the claim's own and no replay. So it is with a server that became a
   replica: its address may lead to another by now.
5. Redis must not evict keys (`maxmemory-policy noeviction`); when it may, the log says so once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from hashlib import blake2b
from itertools import count
from typing import Any, NamedTuple

from abyssal.gateway.auth.nonces import Verdict

TIMEOUT = 1.0  # seconds
MOST_WAITING = 4096
PREFIX = b"abyssal:nonce:"

_MOST_AT_ONCE = 256
_LONGEST, _MARGIN = 15 * 60_000, 60_000  # milliseconds
_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000
_SET_BACK = 30 * _SECOND  # less than the margin; clocks that drift are no matter

_log = logging.getLogger("abyssal.gateway")


class _Claim(NamedTuple):
    key: bytes
    own: bytes  # the value that says that it was this claim
    lifetime: int  # milliseconds
    verdict: asyncio.Future[Verdict]


class RedisNonces:
    """See the module. `url` as redis-py takes it (`redis://`, `rediss://`, `unix://`); `loop` does the work.

    ValueError for an address that is none.
    """

    def __init__(self, url: str, *, loop: asyncio.AbstractEventLoop) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.maint_notifications import MaintNotificationsConfig

        # Retries are ours: a SET that is sent again after its answer was lost may find its own key. And what
        # the client does about announced maintenance keeps it from seeing that an idle connection has ended.
        self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._loop = loop
        self._name, self._numbers = os.urandom(8), count()
        self._waiting: list[_Claim] = []
        self._under_way: list[_Claim] = []
        self._closing: asyncio.Task[None] | None = None
        self._at_work: asyncio.Task[None] | None = None
        self._checking = loop.create_task(self._check_policy())
        self._ahead = -(1 << 62)  # the clock's lead over the loop's, nanoseconds, at its greatest
        self._latest = self._floor = 0  # Unix nanoseconds

    def claim(self, nonce: bytes, until: int, now_ns: int) -> Verdict | asyncio.Future[Verdict]:
        """See `Nonces`. The future may be cancelled; the nonce is then used up all the same."""
        ahead = now_ns - int(self._loop.time() * _SECOND)
        if ahead < self._ahead - _SET_BACK:
            self._floor, self._ahead = max(self._floor, self._latest), ahead
        else:
            self._ahead = max(self._ahead, ahead)
        if until <= max(self._floor, now_ns):
            return Verdict.STALE
        if self._closing is not None or len(self._waiting) >= MOST_WAITING:
            return Verdict.DOWN
        self._latest = max(self._latest, until)
        lifetime = min(-(-(until - now_ns) // _MILLISECOND), _LONGEST) + _MARGIN
        key = PREFIX + blake2b(nonce, digest_size=16).hexdigest().encode()
        own = self._name + next(self._numbers).to_bytes(8, "big")
        claim = _Claim(key, own, lifetime, self._loop.create_future())
        self._waiting.append(claim)
        if self._at_work is None:
            self._at_work = self._loop.create_task(self._work())
        return claim.verdict

    def close(self) -> None:
        """Answer what waits, and hang up. Safe to do twice; `aclose` waits until it is done."""
        if self._closing is None:
            tasks = [self._checking, self._at_work]
            self._closing = self._loop.create_task(self._close([task for task in tasks if task is not None]))

    async def aclose(self) -> None:
        """As `close`, and wait until it is done."""
        self.close()
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._give_up()
        await self._redis.aclose()

    async def _work(self) -> None:
        """Ask about all that waits."""
        try:
            while self._waiting:
                self._under_way = self._waiting[:_MOST_AT_ONCE]
                del self._waiting[:_MOST_AT_ONCE]
                if not await self._ask(self._under_way):
                    self._give_up()
        finally:
            self._at_work = None
            self._give_up()

    async def _ask(self, claims: list[_Claim]) -> bool:
        """Ask about `claims`, and say what came out. False: nothing can be said."""
        from redis.exceptions import ConnectionError as ConnectionLostError
        from redis.exceptions import ReadOnlyError, RedisError

        try:
            async with asyncio.timeout(TIMEOUT):
                try:
                    answers = await self._answers(claims, again=False)
                    is_lost = any(isinstance(answer, ReadOnlyError) for answer in answers)
                except ConnectionLostError:
                    answers, is_lost = [], True
                if is_lost:
                    await self._redis.connection_pool.disconnect()
                    answers = await self._answers(claims, again=True)
        except (RedisError, OSError, TimeoutError) as error:
            _log.error("nonces: Redis does not answer: %s", str(error) or type(error).__name__)
            # Answers that still come are to questions that nobody asks any more.
            await self._redis.connection_pool.disconnect()
            return False
        for claim, answer in zip(claims, answers, strict=True):
            if not claim.verdict.done():
                claim.verdict.set_result(_verdict(answer))
        return True

    async def _answers(self, claims: list[_Claim], *, again: bool) -> list[object]:
        """What Redis says of each: True, None, or an error. `again`: it may have been told of them before."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for claim in claims:
                pipeline.set(claim.key, claim.own, px=claim.lifetime, nx=True)
                if again:
                    pipeline.get(claim.key)
            answers: list[object] = await pipeline.execute(raise_on_error=False)
        if not again:
            return answers
        pairs = zip(claims, answers[::2], answers[1::2], strict=True)
        return [True if answer is None and kept == claim.own else answer for claim, answer, kept in pairs]

    def _give_up(self) -> None:
        for claim in self._under_way + self._waiting:
            if not claim.verdict.done():
                claim.verdict.set_result(Verdict.DOWN)
        self._under_way, self._waiting = [], []

    async def _check_policy(self) -> None:
        """Warn when Redis may throw nonces away. Many services do not let clients ask."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(TIMEOUT):
                found = await self._redis.config_get("maxmemory", "maxmemory-policy")
        except (RedisError, OSError, TimeoutError):
            return  # the first claim says it if Redis is not there
        policy = found.get("maxmemory-policy", "noeviction")
        if policy != "noeviction" and found.get("maxmemory", "0") != "0":
            _log.warning(
                "nonces: Redis may evict keys (maxmemory-policy %s), and a signed request could then be "
                "replayed; set maxmemory-policy to noeviction, or use a Redis of its own for this",
                policy,
            )


def _verdict(answer: object) -> Verdict:
    if answer is True:
        return Verdict.FRESH
    if answer is None:
        return Verdict.SEEN
    from redis.exceptions import OutOfMemoryError

    return Verdict.FULL if isinstance(answer, OutOfMemoryError) else Verdict.DOWN
