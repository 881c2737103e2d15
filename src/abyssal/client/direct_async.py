"""Requests over connections of our own in an asyncio event loop, kept alive between calls. No proxies.

A client may be used in several event loops: each has connections of its own, as a connection cannot change
its loop. What a connection does with bytes is `direct_connection`'s matter.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable

from abyssal.client import defaults
from abyssal.client.answer import Answer
from abyssal.client.direct_connection import Connection
from abyssal.client.http1 import AnswerReader
from abyssal.client.request import Request
from abyssal.client.settings import BaseUrl
from abyssal.client.timeout import Timeout
from abyssal.client.tls import connect_fault, tls_context
from abyssal.client.transport import PoolTimeoutError
from abyssal.wire.errors import ApiTimeoutError


class AsyncDirectTransport:
    """At most `pool_size` connections to one place in each event loop. Keeps `AsyncTransport`."""

    def __init__(self, base: BaseUrl, pool_size: int) -> None:
        self._base = base
        self._tls = tls_context(base)
        self._pool_size = pool_size
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}

    async def send(self, request: Request) -> Answer:
        pool = self._pool()
        deadline = None if request.total is None else pool.loop.time() + request.total
        connection = await pool.acquire(request.timeout, deadline)
        reader = AnswerReader()
        try:
            content = await connection.exchange(request, reader, deadline)
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        return Answer(reader.status, reader.headers, content)

    async def open(self, request: Request) -> _Streamed:
        pool = self._pool()
        connection = await pool.acquire(request.timeout, None)
        reader = AnswerReader()
        try:
            await connection.begin(request, reader)
        except BaseException:
            pool.discard(connection)
            raise
        return _Streamed(pool, connection, reader)

    async def aclose(self) -> None:
        here = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is here:
                pool.close()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(pool.close)

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for dead in [known for known in self._pools if known.is_closed()]:
                del self._pools[dead]
            pool = self._pools[loop] = _Pool(loop, self._base, self._tls, self._pool_size)
        return pool


class _Streamed:
    """An answer that is read as it comes. Keeps the `AsyncStreamedAnswer` protocol."""

    def __init__(self, pool: _Pool, connection: Connection, reader: AnswerReader) -> None:
        self.status = reader.status
        self.headers = reader.headers
        self._pool = pool
        self._connection: Connection | None = connection

    def read(self) -> Awaitable[bytes]:
        return _nothing() if self._connection is None else self._connection.read()

    async def aclose(self, *, drain: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if drain:
            self._pool.drain(connection)
        else:
            self._pool.release(connection)

    def __del__(self) -> None:
        # A stream that was dropped must not keep its place in the pool. This may be another thread.
        if self._connection is not None and not self._pool.loop.is_closed():
            self._pool.loop.call_soon_threadsafe(self._pool.discard, self._connection)


async def _nothing() -> bytes:
    return b""


class _Pool:
    """The connections of one event loop. A slot is had by whoever has a connection or is opening one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, base: BaseUrl, tls: ssl.SSLContext | None, size: int
    ) -> None:
        self.loop = loop
        self._base = base
        self._tls = tls
        self._size = size
        self._free = size
        self._idle: list[Connection] = []
        self._draining: set[Connection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def acquire(self, timeout: Timeout, deadline: float | None) -> Connection:
        """A connection that is open and silent. Give it back with `release` or `discard`."""
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_slot(deadline)
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_usable(defaults.IDLE_TIMEOUT):
                    return connection
                connection.abort()
            return await self._connect(timeout.connect, deadline)
        except BaseException:
            self._free_slot()
            raise

    def release(self, connection: Connection) -> None:
        """The connection is done; it is kept if it can be."""
        if connection.finish() and not self._closed:
            self._idle.append(connection)
            self._free_slot()
        else:
            self.discard(connection)

    def drain(self, connection: Connection) -> None:
        """As `release`, once the little that may still come has come, or has not come soon."""
        self._draining.add(connection)
        connection.drain(defaults.DRAIN_TIMEOUT, self._drained)

    def discard(self, connection: Connection) -> None:
        """The connection is in the middle of something that nobody waits for."""
        connection.abort()
        self._free_slot()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().abort()
        for connection in list(self._draining):
            self._drained(connection)

    def _drained(self, connection: Connection) -> None:
        self._draining.discard(connection)
        self.release(connection)

    def _free_slot(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the slot passes from hand to hand
                return
        self._free += 1

    async def _wait_for_slot(self, deadline: float | None) -> None:
        wait = defaults.POOL_TIMEOUT
        if deadline is not None:
            wait = min(wait, deadline - self.loop.time())
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(wait):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._free_slot()  # it was handed over in the same moment
            if not isinstance(error, TimeoutError):
                raise
            raise PoolTimeoutError(
                f"No connection became free in {wait:.0f} s: all {self._size} are in use. Close streams "
                "that you do not read to their end, or give the client a larger pool_size."
            ) from None

    async def _connect(self, limit: float | None, deadline: float | None) -> Connection:
        base = self._base
        where = f"{base.host}:{base.port}"
        if deadline is not None:
            left = max(0.001, deadline - self.loop.time())
            limit = left if limit is None else min(limit, left)
        try:
            async with asyncio.timeout(limit):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self.loop, where),
                    base.host,
                    base.port,
                    ssl=self._tls,
                    server_hostname=None if self._tls is None else base.host,
                )
        except TimeoutError:
            raise ApiTimeoutError(
                f"Connecting to {where} took longer than {limit or 0:g} s.", unsent=True
            ) from None
        except OSError as error:
            raise connect_fault(base, error) from error
        return connection
