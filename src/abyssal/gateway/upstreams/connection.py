"""One keep-alive HTTP/1.1 connection to an upstream: `asyncio.Protocol` on httptools.

1. One request at a time. The receiver is told of the head, of body pieces, of the end of each read, and
   then either of the answer's end or of what broke.
2. A connection is reused only when its request was sent whole, its answer ended cleanly and nothing
   followed it.
3. An answer without a length ends with the connection (RFC 9112 §6.3).
4. An answer whose head was judged before and that came whole in one read is recognised, not parsed
   (`wire.head_template`); so is a chunk that came alone.
5. llama.cpp's server ends the connection after every answer in chunks, and announces the contrary. A request
   that is sent in the moment between is lost, so such a connection is not reused.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Protocol

import httptools

from abyssal.wire.head_template import HeadMemory

MAX_HEAD_BYTES = 128 * 1024

_MOST_SIZE_DIGITS = 8
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_LLAMA, _IN_CHUNKS = (b"server", b"llama.cpp"), (b"transfer-encoding", b"chunked")


class Headers(list[tuple[bytes, bytes]]):
    """An answer's fields by lower-case name, but for `content-length`; one object when they come again."""

    forwarded: bytes | None = None  # what the relay makes of them for the client, noted for the next time


class UpstreamFaultError(Exception):
    """The upstream broke the exchange. `answered` says whether any byte of an answer had come.

    `taken` says whether the upstream may have got the whole request; None when the transport cannot tell.
    """

    def __init__(self, message: str, *, code: str, answered: bool = False, taken: bool | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.answered = answered
        self.taken = taken


class Receiver(Protocol):
    """Who is told of an answer. `length` is the body's bytes, None where only its end tells."""

    def on_head(self, status: int, headers: Headers, length: int | None) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_flush(self) -> None: ...
    def on_end(self) -> None: ...
    def on_fault(self, fault: UpstreamFaultError) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """See the module. `release` is called with the connection once it may serve another request."""

    __slots__ = (
        "_answered", "_between_chunks", "_body_bytes", "_closed", "_complete", "_excess", "_framed",
        "_head_bytes", "_head_done", "_headers", "_interim", "_known", "_lasting", "_length", "_paused",
        "_pressed", "_receiver", "_release", "_socket", "_status", "_taken", "_transport", "parser", "reused",
        "sweeps",
    )  # fmt: skip

    def __init__(self, release: Callable[[UpstreamConnection, bool], None]) -> None:
        self._release = release
        self.parser = httptools.HttpResponseParser(self)
        self.reused = False
        self.sweeps = 0  # that found it idle
        self._transport: Any = None
        self._socket: Any = None
        self._taken: bool | None = None
        self._receiver: Receiver | None = None
        self._closed = False
        self._paused = False
        self._pressed: Callable[[bool], None] | None = None
        self._known: HeadMemory[Headers] = HeadMemory()
        self._reset()

    def _reset(self) -> None:
        self._headers = Headers()
        self._length: int | None = None
        self._head_bytes = 0
        self._answered = False
        self._head_done = False
        self._framed = False
        self._interim = False
        self._complete = False
        self._excess = False
        self._lasting = False
        self._between_chunks = False
        self._body_bytes = 0
        self._status = 0

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        # A transport that has read the end tells of it in a later turn of the loop.
        return not self._closed and self._receiver is None and not self._transport.is_closing()

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Send a whole request; `receiver` is told of the answer."""
        self._receiver = receiver
        self._reset()
        self._transport.write(request)

    def write(self, data: bytes, pressed: Callable[[bool], None]) -> None:
        """More of a request that `send` began. `pressed` is told when too much of it waits, and when not."""
        self._pressed = pressed
        if not self._closed:
            self._transport.write(data)

    def close(self) -> None:
        """Cut the connection; its receiver hears no more."""
        self._receiver = None
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Stop reading: the upstream will feel it."""
        if not self._paused and not self._closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self._closed:
            self._paused = False
            self._transport.resume_reading()

    # --- the transport's side -------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")

    def pause_writing(self) -> None:
        if self._pressed is not None:
            self._pressed(True)

    def resume_writing(self) -> None:
        if self._pressed is not None:
            self._pressed(False)

    def eof_received(self) -> bool:
        if self._receiver is not None and self._socket is not None:
            self._taken = _taken(self._transport, self._socket)
        return False

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.close()  # an upstream that speaks unasked is not to be trusted with the next request
            return
        if self._between_chunks:
            if self._lone_chunk(data, receiver):
                return
        elif self._known.judged is not None and not self._answered and self._recognised(data, receiver):
            return
        self._answered = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._complete:
                self._excess = True
            else:
                if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(
                    error.__context__, UpstreamFaultError
                ):
                    raise
                self._fail(f"its answer is not HTTP/1.1 ({error.__context__ or error})", "upstream_garbage")
                return
        except httptools.HttpParserUpgrade:
            self._fail("it switched protocols unasked", "upstream_garbage")
            return
        if self._complete:
            if self._known.judged is None and self._lasting and not self._excess and self._status == 200:
                self._known.learn(data, self._body_bytes, self._headers)
            self._finish()
        elif self._receiver is not None:
            if not self._head_done:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self._fail("its header fields are too large", "upstream_garbage")
                    return
            # A size line may have been read in part: only the end of a chunk's own line is between two.
            self._between_chunks = self._between_chunks and data.endswith(b"\r\n")
            receiver.on_flush()

    def _recognised(self, data: bytes, receiver: Receiver) -> bool:
        """Take in a whole answer without the parser when its head is known."""
        headers = self._known.judged
        found = self._known.match(data)
        if found is None or headers is None:
            return False
        length, start, _ = found
        if len(data) - start != length:
            return False
        self._answered = self._lasting = True
        receiver.on_head(200, headers, length)
        receiver.on_body(data[start:])
        self._finish()
        return True

    def _lone_chunk(self, data: bytes, receiver: Receiver) -> bool:
        """Take in a chunk (RFC 9112 §7.1) that is all of `data`, while the parser stands between two."""
        end = data.find(b"\r\n", 0, _MOST_SIZE_DIGITS + 2)
        if end <= 0 or not data.endswith(b"\r\n"):
            return False
        digits = data[:end]
        if digits.strip(_HEXADECIMAL):
            return False
        size = int(digits, 16)
        if size == 0 or len(data) != end + 4 + size:
            return False
        receiver.on_body(data[end + 2 : -2])
        receiver.on_flush()
        return True

    def _finish(self) -> None:
        receiver, self._receiver = self._receiver, None
        unread = self._transport.get_write_buffer_size()  # of the request: it was answered too early
        keep = not self._excess and not self._closed and self._lasting and not unread
        self.resume()
        if unread:
            self.close()
        elif not keep:
            self._closed = True
            self._transport.close()
        self._release(self, keep)
        if receiver is not None:
            receiver.on_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        receiver = self._receiver
        if receiver is not None:
            if self._head_done and not self._framed and exc is None:
                self._receiver = None
                receiver.on_end()
                self._release(self, False)
                return
            self._fail("it closed the connection before its answer was complete", "upstream_closed")
        else:
            self._release(self, False)

    def _fail(self, message: str, code: str) -> None:
        receiver, self._receiver = self._receiver, None
        answered, taken = self._answered, self._taken
        if taken is None and self._socket is not None:
            taken = True  # a reset does not tell
        self.close()
        self._release(self, False)
        if receiver is not None:
            receiver.on_fault(UpstreamFaultError(message, code=code, answered=answered, taken=taken))

    # --- the parser's side ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._excess = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done or self._complete:
            return  # a trailer field
        lower = name.lower()
        if lower == b"content-length":
            self._framed, self._length = True, int(value)
            return
        if lower == b"transfer-encoding":
            self._framed = True
        self._headers.append((lower, value))
        if len(self._headers) > 200:
            raise UpstreamFaultError("over 200 header fields", code="upstream_garbage")

    def on_headers_complete(self) -> None:
        if self._complete or self._receiver is None:
            return
        self._status = status = self.parser.get_status_code()
        if status < 200:
            self._interim = True
            return
        self._head_done = True
        if status in (204, 304):
            self._framed = True
        self._receiver.on_head(status, self._headers, self._length)

    def on_body(self, body: bytes) -> None:
        if self._receiver is not None and not self._complete:
            self._body_bytes += len(body)
            self._receiver.on_body(body)

    def on_chunk_header(self) -> None:
        self._between_chunks = False

    def on_chunk_complete(self) -> None:
        self._between_chunks = True

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = self._framed = False
            self._headers, self._length = Headers(), None
        else:
            self._complete = True
            self._lasting = self.parser.should_keep_alive() and not (
                _LLAMA in self._headers and _IN_CHUNKS in self._headers
            )


def _taken(transport: Any, connected: Any) -> bool | None:
    """Whether the peer, which has just closed its side, had got all that was sent; None when unknown.

    A FIN acknowledges all that its sender had taken before it (RFC 9293 §3.4, §3.10.7.4): what is still
    unacknowledged when it is read, the peer never had.
    """
    if sys.platform != "linux":
        return None
    from fcntl import ioctl
    from termios import TIOCOUTQ  # for a socket SIOCOUTQ: bytes that the peer has not acknowledged, tcp(7)

    if transport.get_write_buffer_size():
        return False
    try:
        return not any(ioctl(connected.fileno(), TIOCOUTQ, bytes(4)))
    except OSError:
        return None
