"""One WebSocket over a blocking connection: messages out, messages in. Frames are `sockets.frames`'s."""

from __future__ import annotations

import ssl
import time
from collections import deque

from abyssal.client.answer import Answer
from abyssal.client.direct_socket import SocketConnection
from abyssal.client.request import Request
from abyssal.client.sockets.frames import SocketFrames
from abyssal.client.sockets.params import CANCEL, is_cancelled
from abyssal.wire.errors import LocalError


class WebSocket:
    """One socket; belongs to one answer at a time. Time limits in seconds."""

    __slots__ = ("_connection", "_frames", "_messages")

    def __init__(self, connection: SocketConnection, frames: SocketFrames) -> None:
        self._connection = connection
        self._frames = frames
        self._messages: deque[bytes] = deque()

    @classmethod
    def connect(cls, request: Request, tls: ssl.SSLContext | None) -> WebSocket | Answer:
        """An open socket, or the answer of a server that opens none. Raises LocalError."""
        timeout = request.timeout
        frames = SocketFrames(request.endpoint)
        socket = cls(SocketConnection(request.endpoint.base, tls, timeout.connect), frames)
        try:
            while not frames.upgraded:
                socket._check()
                socket._write(timeout.read)
                socket._read(timeout.read)
                if frames.refusal is not None and not 200 <= frames.refusal.status < 300:
                    socket.close()
                    return frames.refusal
        except BaseException:
            socket.close()
            raise
        return socket

    def ask(self, message: bytes, timeout: float | None) -> None:
        """Sends `message`. Raises LocalError."""
        self._frames.ask(message)
        self._write(timeout)

    def receive(self, timeout: float | None) -> bytes:
        """The next message. Raises LocalError when none will come, and when nothing came for too long."""
        while not self._messages:
            self._check()
            self._read(timeout)
        return self._messages.popleft()

    def begin_idling(self) -> bool:
        """The answer is complete: whether another may be asked for on this socket."""
        self._connection.begin_idling()
        return self._frames.opened and not self._messages

    def is_usable(self) -> bool:
        """Whether the idle socket is still open; pings that came meanwhile are answered."""
        try:
            while self._frames.opened and not self._connection.is_silent():
                self._read(1.0)
        except LocalError:
            return False
        return self._frames.opened and not self._messages and self._connection.is_fresh()

    def cancel(self, limit: float) -> None:
        """Ends the answer at work for good; waits until that was heard, at most `limit` seconds."""
        deadline = time.monotonic() + limit
        try:
            self.ask(CANCEL, limit)
            while time.monotonic() < deadline and not is_cancelled(self.receive(limit)):
                pass
        except LocalError:
            pass  # it was a courtesy

    def close(self) -> None:
        """Says goodbye where that is possible at once, and closes."""
        try:
            if self._connection.is_own:
                self._frames.close()
                self._write(0.1)
        except LocalError:
            pass  # it was a courtesy
        self._connection.close()

    def _write(self, timeout: float | None) -> None:
        data = self._frames.outgoing()
        if data:
            self._connection.write(data, timeout, None)

    def _read(self, timeout: float | None) -> None:
        """What has come, at least a byte, or the end."""
        self._messages.extend(self._frames.feed(self._connection.receive(timeout, None)))
        self._write(timeout)

    def _check(self) -> None:
        """Raises LocalError when nothing more will come."""
        fault = self._frames.fault()
        if fault is not None:
            raise fault
