"""One WebSocket in an event loop: messages out, messages in. Frames are `sockets.frames`'s."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from abyssal.client import defaults
from abyssal.client.answer import Answer
from abyssal.client.direct_bytes import ByteConnection
from abyssal.client.request import Request
from abyssal.client.sockets.frames import SocketFrames
from abyssal.client.sockets.params import CANCEL, is_cancelled
from abyssal.wire.errors import LocalError


class AsyncWebSocket:
    """One socket; belongs to one answer at a time. Time limits in seconds."""

    __slots__ = ("__weakref__", "_connection", "_frames", "_messages")

    def __init__(self, connection: ByteConnection, frames: SocketFrames) -> None:
        self._connection = connection
        self._frames = frames
        self._messages: deque[bytes] = deque()

    @classmethod
    async def connect(cls, request: Request, tls: ssl.SSLContext | None) -> AsyncWebSocket | Answer:
        """An open socket, or the answer of a server that opens none. Raises LocalError."""
        timeout = request.timeout
        frames = SocketFrames(request.endpoint)
        socket = cls(await ByteConnection.connect(request.endpoint.base, tls, timeout.connect), frames)
        try:
            while not frames.upgraded:
                socket._check()
                socket._write()
                await socket._read(timeout.read)
                if frames.refusal is not None and not 200 <= frames.refusal.status < 300:
                    socket.close()
                    return frames.refusal
        except BaseException:
            socket.close()
            raise
        return socket

    def ask(self, message: bytes) -> None:
        """Sends `message`."""
        self._frames.ask(message)
        self._write()

    async def receive(self, timeout: float | None) -> bytes:
        """The next message. Raises LocalError when none will come, and when nothing came for too long."""
        while not self._messages:
            self._check()
            await self._read(timeout)
        return self._messages.popleft()

    def begin_idling(self) -> bool:
        """The answer is complete: whether another may be asked for on this socket."""
        self._connection.begin_idling()
        return self._frames.opened and not self._messages

    def is_usable(self) -> bool:
        """Whether the idle socket is still open; pings that came meanwhile are answered."""
        try:
            data = self._connection.read_nowait()
            if data:
                self._take(data)
        except LocalError:
            return False
        fresh = self._connection.is_fresh(defaults.IDLE_TIMEOUT)
        return fresh and self._frames.opened and not self._messages

    async def cancel(self, limit: float) -> None:
        """Ends the answer at work for good; waits until that was heard, at most `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                self.ask(CANCEL)
                while not is_cancelled(await self.receive(limit)):
                    pass
        except (LocalError, TimeoutError):
            pass  # it was a courtesy

    def close(self) -> None:
        """Says goodbye and closes, without waiting for an answer."""
        self._frames.close()
        self._write()
        self._connection.close()

    async def wait_closed(self, limit: float) -> None:
        """Until a socket of this loop that was closed is gone; after `limit` seconds it is cut."""
        await self._connection.wait_closed(limit)

    def _write(self) -> None:
        data = self._frames.outgoing()
        if data:
            self._connection.write(data)

    async def _read(self, timeout: float | None) -> None:
        """What has come, at least a byte, or the end."""
        self._take(await self._connection.read(timeout))

    def _take(self, data: bytes) -> None:
        self._messages.extend(self._frames.feed(data))
        self._write()

    def _check(self) -> None:
        """Raises LocalError when nothing more will come."""
        fault = self._frames.fault()
        if fault is not None:
            raise fault
