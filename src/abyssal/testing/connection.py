"""The server side of one scripted connection: parses requests, plays answers, notices who closes.

Rules:

1. Requests are answered one at a time, in the order in which they came; answers are played without tasks,
   by callbacks alone, so thousands a second cost little.
2. Bytes that follow each other without a wait are one write; nothing more is produced while the peer does
   not read (the transport has paused writing).
3. A peer that closes its side before the answer is whole has left: the request knows it, and when.
4. A reset is sent when everything before it was taken by the socket, so the peer can read it first.
5. What is not HTTP is answered 400, remembered as a protocol error, and ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, cast

from abyssal.testing.playback import End, Step
from abyssal.testing.received import ReceivedRequest

try:
    import httptools
except ModuleNotFoundError as missing:
    raise ImportError("a scripted upstream needs httptools: install abyssal[server]") from missing

_WRITE_AT_ONCE = 64 * 1024  # bytes
_FLUSH_CHECK, _BEFORE_RESET = 0.005, 0.02  # seconds; a reset may overtake bytes that the peer has yet to read
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Stage(Protocol):
    """What a connection asks of the upstream that it belongs to."""

    def opened(self, connection: ScriptedConnection) -> int: ...
    def closed(self, connection: ScriptedConnection) -> None: ...
    def received(self, request: ReceivedRequest) -> None: ...
    def play(self, request: ReceivedRequest) -> Iterator[Step]: ...
    def finished(self) -> None: ...
    def protocol_error(self, connection: int, error: str) -> None: ...


class ScriptedConnection(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, stage: Stage, loop: asyncio.AbstractEventLoop) -> None:
        self._stage = stage
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._number = 0
        self._waiting: deque[tuple[ReceivedRequest, bool]] = deque()
        self._playing: ReceivedRequest | None = None
        self._keep_alive = True
        self._steps: Iterator[Step] = iter(())
        self._due = 0.0
        self._timer: asyncio.Handle | None = None
        self._paused = False
        self._ending = False
        self._lost = False
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    @property
    def playing(self) -> ReceivedRequest | None:
        """The request whose answer is under way."""
        return self._playing

    def abort(self) -> None:
        """Drop the connection at once; harmless when it is gone."""
        if not self._lost:  # asyncio tells a transport that is aborted after its end of the end again
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._stage.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._peer_left()
        self._stage.closed(self)

    def eof_received(self) -> bool:
        self._peer_left()
        return False

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("an upgrade to another protocol, which is not spoken here")
        except httptools.HttpParserError as error:
            self._refuse(f"{error or type(error).__name__} in {data[:200]!r}")
        if self._playing is None:
            self._next()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._timer is None:
            # Not at once: asyncio's selector transport loses its connection twice if it is closed in here.
            self._timer = self._loop.call_soon(self._go_on)

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name.lower() == "expect" and value.lower() == "100-continue" and self._playing is None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        request = ReceivedRequest(
            parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            parser.get_http_version(),
            self._headers,
            b"".join(self._body),
            self._number,
        )
        self._stage.received(request)
        self._waiting.append((request, parser.should_keep_alive()))

    # Playing

    def _next(self) -> None:
        if not self._waiting or self._ending:
            return
        self._playing, self._keep_alive = self._waiting.popleft()
        self._due = self._loop.time()
        self._steps = self._stage.play(self._playing)
        self._go_on()

    def _go_on(self) -> None:
        """Play until the next wait, the end, or a full buffer; each of them calls back."""
        self._timer = None
        playing = self._playing
        if playing is None or self._paused:
            return
        pending: list[bytes] = []
        size = 0
        for step in self._steps:
            if isinstance(step, bytes):
                pending.append(step)
                size += len(step)
                if size < _WRITE_AT_ONCE:
                    continue
                self._write(playing, pending)
                if not self._paused:
                    self._timer = self._loop.call_soon(self._go_on)  # other connections want their turn
                return
            if isinstance(step, End):
                self._finish(playing, step, pending)
                return
            self._write(playing, pending)
            # The next moment is counted from the last due one: a stream keeps its pace on a busy machine.
            self._due = max(self._due + step, self._loop.time())
            self._timer = self._loop.call_at(self._due, self._go_on)
            return

    def _write(self, request: ReceivedRequest, pending: list[bytes]) -> None:
        if pending:
            wire = b"".join(pending)
            request.bytes_sent += len(wire)
            self._transport.write(wire)

    def _finish(self, request: ReceivedRequest, end: End, pending: list[bytes]) -> None:
        """Send the last bytes, after the books are closed: who has read them finds the answer complete."""
        if end is End.SILENCE:
            self._write(request, pending)
            return  # still playing: the peer is the one to leave
        self._playing = None
        self._ending = end is not End.KEEP or not self._keep_alive
        request.answered.set()
        self._stage.finished()
        self._write(request, pending)
        if end is End.RESET:
            self._when_flushed(self._loop.time() + 1.0, self._reset)
        elif self._ending:
            self._transport.close()
        self._next()

    def _when_flushed(self, deadline: float, then: Callable[[], None]) -> None:
        if self._transport.get_write_buffer_size() and self._loop.time() < deadline:
            self._loop.call_later(_FLUSH_CHECK, self._when_flushed, deadline, then)
        else:
            self._loop.call_later(_BEFORE_RESET, then)

    def _reset(self) -> None:
        sock: socket.socket = self._transport.get_extra_info("socket")
        if not self._transport.is_closing() and sock.family != getattr(socket, "AF_UNIX", None):
            # A zero linger time makes close() send RST and forget what is unsent (SO_LINGER in socket(7)).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def _refuse(self, error: str) -> None:
        self._stage.protocol_error(self._number, error)
        self._ending = True
        if self._playing is None:
            self._transport.write(_BAD_REQUEST)
        self._transport.close()

    def _peer_left(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        request, self._playing = self._playing, None
        if request is not None:
            request.closed_at = time.monotonic()
            request.closed_by_peer.set()
            self._stage.finished()
