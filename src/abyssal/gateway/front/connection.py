"""HTTP/1.1 for clients: an `asyncio.Protocol` on httptools that hands whole requests to a dispatcher.

1. One request of a connection is at work at a time; what is pipelined behind it waits in order.
2. While a call is at work the connection goes on being read, a little, so that a client that leaves is
   noticed at once; past `READ_AHEAD` bytes it is not.
3. A request that breaks the rules is answered when its turn comes, and the connection is closed.
4. A head that was judged once on this connection is recognised, not judged again (`wire.head_template`).
5. Deadlines are one number per connection that `tick` looks at once a second: no timer per request.
6. What a client does not read is held up to `HOLD_BYTES`; then its upstream is paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

import httptools

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front import heads
from abyssal.gateway.front import request_head as rules
from abyssal.wire.errors import ApiError, BadRequestError, HeadersTooLargeError, RequestTimeoutError
from abyssal.wire.head_template import HeadMemory

READ_AHEAD = 64 * 1024
HOLD_BYTES = 256 * 1024
_LINGER = 2.0  # seconds in which a refused client may read its answer before the connection is cut


class FrontLimits:
    """How patient the front is, in seconds, and how large a body may be, in bytes."""

    def __init__(
        self, *, header: float, body: float, idle: float, stalled_reader: float, max_body: int
    ) -> None:
        self.header, self.body, self.idle = header, body, idle
        self.stalled_reader, self.max_body = stalled_reader, max_body


class Front(Protocol):
    """What a connection needs of the whole."""

    limits: FrontLimits
    connections: set[HttpConnection]
    draining: bool
    date: bytes

    @property
    def dispatch(self) -> Callable[[Exchange], None]: ...
    @property
    def next_id(self) -> Callable[[], str]: ...
    @property
    def now(self) -> Callable[[], float]: ...


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_ahead",
        "_answer_10",
        "_between",
        "_body",
        "_body_bytes",
        "_body_left",
        "_chunked",
        "_closing",
        "_deadline",
        "_exchange",
        "_expects",
        "_fed",
        "_fields",
        "_front",
        "_head_bytes",
        "_head_only",
        "_host",
        "_http10",
        "_in_head",
        "_keep_alive",
        "_keep_next",
        "_known",
        "_length",
        "_lines",
        "_next",
        "_paused_since",
        "_queue",
        "_reading",
        "_seen_host",
        "_target",
        "_te",
        "_transport",
        "parser",
    )  # fmt: skip

    def __init__(self, front: Front) -> None:
        self._front = front
        self.parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._exchange: Exchange | None = None  # at work
        self._queue: deque[tuple[Exchange, bool, bool] | ApiError] = deque()
        self._keep_alive = True  # after the answer under way
        self._head_only = False  # the answer under way has no body (HEAD)
        self._chunked = False  # the answer under way is framed in chunks
        self._answer_10 = False  # the answer under way goes to an HTTP/1.0 client
        self._closing = False
        self._reading = True
        self._ahead = 0
        self._paused_since = inf
        self._deadline = inf
        self._seen_host = b""
        self._in_head = False
        self._between = True  # the parser has seen whole requests only
        self._head_bytes = 0
        self._body_left = 0  # of a request whose head was recognised
        self._known: HeadMemory[Exchange] = HeadMemory()
        self._fed = b""  # what the parser is reading
        self._reset_request()

    def _reset_request(self) -> None:
        self._next: Exchange | None = None  # the request that is being read
        self._target = b""
        self._fields = 0
        self._host: bytes | None = None
        self._te: bytes | None = None
        self._expects: bytes | None = None
        self._length = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._lines: list[bytes] = []
        self._keep_next = True
        self._http10 = False

    # --- the transport's side -------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=HOLD_BYTES, low=HOLD_BYTES // 4)
        self._front.connections.add(self)
        self._deadline = self._front.now() + self._front.limits.header

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connections.discard(self)
        self._closing = True
        self._queue.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.call is not None:
            exchange.call.cancel()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # lingering: the answer is out, the rest of the request does not matter
        if self._body_left:
            data = self._read_body(data)
        elif self._known.judged is not None and self._between and self._exchange is None and not self._queue:
            data = self._recognise(data)
        if data:
            self._parse(data)

    def _recognise(self, data: bytes) -> bytes:
        """Take in a request whose head is known without the parser; gives what is left for it."""
        pattern = self._known.judged
        found = self._known.match(data)
        if found is None or pattern is None:
            return data
        length, start = found
        if len(data) - start > length or length > self._front.limits.max_body:
            return data
        self._next = pattern.alike(self._front.next_id(), self)
        self._body_left = length
        return self._read_body(data[start:])

    def _read_body(self, data: bytes) -> bytes:
        """Take in the body of a recognised head; gives what follows it."""
        rest = data[self._body_left :] if len(data) > self._body_left else b""
        if rest:
            data = data[: self._body_left]
        self._body.append(data)
        self._body_left -= len(data)
        if self._body_left:
            self._deadline = self._front.now() + self._front.limits.body
        else:
            exchange, body = self._next, self._body
            assert exchange is not None
            self._next, self._body = None, []
            exchange.body = body[0] if len(body) == 1 else b"".join(body)
            self._start(exchange, True, False)
        return rest

    def _learn(self, exchange: Exchange, data: bytes) -> None:
        """Remember the head of a request that is all there is in `data`, for the next ones like it."""
        simple = self._te is None and self._expects is None and self._keep_next and not self._http10
        if simple and exchange.body and exchange.method == b"POST":
            self._known.learn(data, len(exchange.body), lambda: exchange.alike("", self))

    def _parse(self, data: bytes) -> None:
        self._fed = data
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, ApiError):
                raise
            self._refuse(cause)
        except httptools.HttpParserUpgrade:
            pass  # no upgrade happens here: the request is answered as HTTP, and the connection closed
        except httptools.HttpParserInvalidMethodError:
            self._refuse(rules.NotImplementedByServerError("The request's method is not known here."))
        except httptools.HttpParserError as error:
            if self._keep_next or self._next is not None:
                self._refuse(_malformed(error))
            else:
                self._closing_after_current()  # bytes after a request that said `Connection: close`
        else:
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > rules.MAX_HEAD_BYTES * 2:
                    self._refuse(_too_large())
                    return
            if self._exchange is not None:
                self._ahead += len(data)
                if self._ahead > READ_AHEAD and self._reading and self._queue:
                    self._reading = False
                    self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False  # a client that half-closes has left (as nginx sees it)

    def pause_writing(self) -> None:
        self._paused_since = self._front.now()
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.pause()

    def resume_writing(self) -> None:
        self._paused_since = inf
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.resume()

    def tick(self, now: float) -> None:
        """Apply the deadlines at loop time `now`."""
        limits = self._front.limits
        if now - self._paused_since >= limits.stalled_reader:
            self.abort()
        elif now >= self._deadline:
            if self._closing or (self._next is None and not self._in_head):
                self._close()
            else:
                what = "headers" if self._in_head else "body"
                self._refuse(RequestTimeoutError(f"The request's {what} did not arrive in time."))
        elif self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.tick(now)

    # --- the parser's side ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        front = self._front
        self._reset_request()
        self._in_head = True
        self._between = False
        self._head_bytes = 0
        if self._exchange is None:
            self._deadline = front.now() + front.limits.header

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > rules.MAX_HEAD_BYTES:
            raise _too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer field: nothing here needs one
        self._fields += 1
        self._head_bytes += len(name) + len(value) + 4
        if self._fields > rules.MAX_FIELDS or self._head_bytes > rules.MAX_HEAD_BYTES:
            raise _too_large()
        exchange = self._next
        if exchange is None:
            exchange = self._next = Exchange(self._front.next_id(), self, b"", self._front.now())
        lower = name.lower()
        if lower not in rules.NOT_FORWARDED:
            if lower == b"content-encoding":
                exchange.content_encoding = value
            self._lines.append(b"%b: %b\r\n" % (lower, value))
        elif lower == b"authorization":
            if exchange.authorization is not None:
                raise BadRequestError("Two Authorization headers; send one.", code="two_credentials")
            exchange.authorization = value
        elif lower == b"x-api-key":
            if exchange.x_api_key is not None:
                raise BadRequestError("Two x-api-key headers; send one.", code="two_credentials")
            exchange.x_api_key = value
        elif lower == b"host":
            if self._host is not None:
                raise BadRequestError("Two Host headers; send one.", code="bad_host")
            self._host = value
        elif lower == b"content-length":
            self._length = int(value)
        elif lower == b"transfer-encoding":
            self._te = value
        elif lower == b"expect":
            self._expects = value

    def on_headers_complete(self) -> None:
        front, parser = self._front, self.parser
        version = parser.get_http_version()
        if version != "1.1":
            rules.check_version(version)
            self._http10 = True
        exchange = self._next
        if exchange is None:
            exchange = self._next = Exchange(front.next_id(), self, b"", front.now())
        if self._host is None or self._host != self._seen_host:
            rules.check_host(self._host, version)
            self._seen_host = self._host or b""
        if self._te is not None:
            rules.check_transfer_encoding(self._te, version)
        if self._length > front.limits.max_body:
            rules.check_length(self._length, front.limits.max_body)
        exchange.method = parser.get_method()
        exchange.path, exchange.query = rules.split_target(self._target)
        exchange.forwarded = b"".join(self._lines)
        self._in_head = False
        self._keep_next = parser.should_keep_alive() and not parser.should_upgrade()
        if self._expects is not None:
            if self._expects.lower() != b"100-continue":
                raise rules.ExpectationFailedError("Only the expectation 100-continue is known here.")
            if self._exchange is None and version == "1.1":
                self._transport.write(heads.CONTINUE)
        if self._exchange is None:
            self._deadline = front.now() + front.limits.body

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_bytes += len(body)
        front = self._front
        if self._body_bytes > front.limits.max_body:
            rules.check_length(self._body_bytes, front.limits.max_body)
        if self._exchange is None:
            self._deadline = front.now() + front.limits.body

    def on_message_complete(self) -> None:
        exchange, body = self._next, self._body
        assert exchange is not None
        self._next = None
        self._between = True
        if body:
            exchange.body = body[0] if len(body) == 1 else b"".join(body)
            self._body = []
        if self._exchange is None and not self._queue:
            if self._known.judged is None:
                self._learn(exchange, self._fed)
            self._start(exchange, self._keep_next, self._http10)
        else:
            self._queue.append((exchange, self._keep_next, self._http10))

    # --- answering ------------------------------------------------------------------------------------

    def _start(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        self._exchange = exchange
        self._answer_10 = http10
        self._keep_alive = keep_alive and not self._front.draining
        self._head_only = exchange.method == b"HEAD"
        self._deadline = inf
        exchange.started_at = self._front.now()
        self._front.dispatch(exchange)

    def _head(self, status: int, headers: bytes) -> list[bytes]:
        exchange = self._exchange
        assert exchange is not None
        head = [heads.status_line(status), headers, self._front.date]
        head.append(b"x-request-id: %b\r\nx-api-version: v1\r\n" % exchange.id.encode())
        if not self._keep_alive or self._front.draining:
            self._keep_alive = False
            head.append(b"connection: close\r\n")
        elif self._answer_10:
            head.append(b"connection: keep-alive\r\n")
        return head

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        head = self._head(status, headers)
        head.append(b"content-length: %d\r\n\r\n" % len(body))
        if not self._head_only:
            head.append(body)
        self._transport.write(b"".join(head))
        self._done()

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        self._chunked = length is None and not self._answer_10
        if length is None and not self._chunked:
            self._keep_alive = False  # HTTP/1.0: the connection's end is the body's end
        head = self._head(status, headers)
        if length is not None:
            head.append(b"content-length: %d\r\n\r\n" % length)
        else:
            head.append(b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n")
        self._transport.write(b"".join(head))

    def send(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)

    def finish(self) -> None:
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        self._done()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _done(self) -> None:
        front = self._front
        self._exchange = None
        self._ahead = 0
        if not self._keep_alive:
            self._linger()
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._deadline = front.now() + (
            front.limits.idle if self._next is None and not self._in_head else front.limits.body
        )
        if self._queue:
            waiting = self._queue.popleft()
            if isinstance(waiting, ApiError):
                self._answer_refusal(waiting)
            else:
                self._start(*waiting)

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` in its turn and close: nothing behind it can be trusted."""
        self._in_head = False
        if self._exchange is None and not self._queue:
            self._answer_refusal(error)
        else:
            self._queue.append(error)
            self._deadline = inf

    def _answer_refusal(self, error: ApiError) -> None:
        exchange = self._next or Exchange(self._front.next_id(), self, b"", self._front.now())
        self._next = None
        self._exchange = exchange
        self._keep_alive = False
        self._head_only = False
        self.answer(error.status_code, heads.JSON, error.as_json())

    def _closing_after_current(self) -> None:
        if self._exchange is None:
            self._linger()
        else:
            self._keep_alive = False

    def close_when_idle(self) -> None:
        """Close now, or when the answer under way is complete."""
        if self._exchange is None and self._next is None:
            self._close()
        else:
            self._keep_alive = False

    def _linger(self) -> None:
        """Half-close, so that a client still sending can read its answer before the cut."""
        self._closing = True
        self._queue.clear()
        self._deadline = self._front.now() + _LINGER
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
                if not self._reading:
                    self._transport.resume_reading()
            else:  # TLS has no half-close
                self._transport.close()

    def _close(self) -> None:
        self._closing = True
        self._transport.close()


def _too_large() -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"Over {rules.MAX_FIELDS} header fields or {rules.MAX_HEAD_BYTES} bytes of them; send fewer."
    )


def _malformed(error: Exception) -> BadRequestError:
    return BadRequestError(f"The request is not HTTP/1.1: {error}.", code="malformed_http")
