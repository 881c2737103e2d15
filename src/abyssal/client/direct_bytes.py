"""One TCP connection in an event loop, as bytes: what comes is kept until it is read. For WebSockets."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from abyssal.client.settings import BaseUrl
from abyssal.client.tls import connect_fault
from abyssal.wire.errors import ApiConnectionError, ApiTimeoutError

_HIGH_WATER = 262144  # bytes that nobody has read yet: then the other side is made to wait


class ByteConnection(asyncio.Protocol):
    """One connection; one task at a time reads it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str) -> None:
        self._loop = loop
        self._where = where
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.Transport | None = None  # we closed it, and it is not gone yet
        self._held: list[bytes] = []
        self._unread = 0  # bytes in `_held`
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    @classmethod
    async def connect(
        cls, base: BaseUrl, tls: ssl.SSLContext | None, timeout: float | None
    ) -> ByteConnection:
        """Raises ApiTimeoutError after `timeout` seconds, ApiConnectionError, ConfigurationError."""
        loop = asyncio.get_running_loop()
        where = f"{base.host}:{base.port}"
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(
                    lambda: cls(loop, where),
                    base.host,
                    base.port,
                    ssl=tls,
                    server_hostname=None if tls is None else base.host,
                )
        except TimeoutError:
            raise ApiTimeoutError(
                f"Connecting to {where} took longer than {timeout or 0:g} s.", unsent=True
            ) from None
        except OSError as error:
            raise connect_fault(base, error) from error
        return connection

    async def read(self, timeout: float | None) -> bytes:
        """What has come, at least a byte; b"" when the other side closed.

        Raises ApiTimeoutError when nothing came for `timeout` seconds, ApiConnectionError when it broke.
        """
        if not self._held and not self._ended:
            self._waiter = self._loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._waiter
            except TimeoutError:
                raise ApiTimeoutError(
                    f"{self._where} sent nothing for {timeout or 0:g} s; allow more with timeout=."
                ) from None
            finally:
                self._waiter = None
        if self._error is not None and not self._held:
            raise ApiConnectionError(f"The connection to {self._where} broke: {self._error}.")
        return self.read_nowait()

    def read_nowait(self) -> bytes:
        """What has come, b"" for nothing."""
        data = b"".join(self._held)
        self._held.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def begin_idling(self) -> None:
        """Nothing more is asked for the time being."""
        self._idle_since = self._loop.time()

    def is_fresh(self, longest_idle: float) -> bool:
        """Whether the idle connection is open, and not too old (in seconds)."""
        return not self._ended and self._loop.time() - self._idle_since <= longest_idle

    def close(self) -> None:
        """Closes it, once what was written is sent."""
        transport, self._transport = self._transport, None
        self._ended = True
        if transport is not None:
            self._closing = transport
            transport.close()

    async def wait_closed(self, limit: float) -> None:
        """Until a connection of this loop that was closed is gone; after `limit` seconds it is cut.

        A loop that ends before that leaves it half closed, and the other side waiting.
        """
        try:
            async with asyncio.timeout(limit):
                while self._closing is not None:
                    self._waiter = self._loop.create_future()
                    await self._waiter
        except TimeoutError:
            if self._closing is not None:
                self._closing.abort()
                await asyncio.sleep(0)  # a cut takes effect in the loop's next turn
        finally:
            self._waiter = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        self._unread += len(data)
        if self._unread > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._closing = None
        self._ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
