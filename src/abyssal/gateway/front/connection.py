"""HTTP/1.1 for clients: an `asyncio.Protocol` that hands whole requests to a dispatcher, one at a time.

1. One request of a connection is at work at a time; what is pipelined behind it waits in order.
2. While a call is at work the connection goes on being read, a little, so that a client that leaves is
   noticed at once; past `READ_AHEAD` bytes it is not.
3. A request that breaks the rules is answered when its turn comes, and the connection is closed.
4. Deadlines are one number per connection that `tick` looks at once a second: no timer per request.
5. What a client does not read is held up to `HOLD_BYTES`; then its upstream is paused, and what it has
   pipelined waits.
6. An upgrade to WebSocket of a path that has one hands the transport over (`websocket`), if nothing is at
   work before it; any other upgrade is passed over.
7. An upload is at work before its body is whole (`upload`); how long its next piece may take is a deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Any

from abyssal.gateway.exchange import Exchange, RequestHead, UploadExchange
from abyssal.gateway.front import heads, websocket_upgrade
from abyssal.gateway.front.holding import HOLD_BYTES, hold
from abyssal.gateway.front.reader import RequestReader
from abyssal.gateway.front.request_head import check_length
from abyssal.gateway.front.upload import Upload
from abyssal.gateway.front.websocket import WebSocketConnection
from abyssal.gateway.front.whole import Front, OpenSession
from abyssal.wire.addresses import client_address
from abyssal.wire.errors import ApiError, RequestTimeoutError, UnavailableError

READ_AHEAD = 64 * 1024
_LINGER = 2.0  # seconds in which a refused client may read its answer before the connection is cut
_LINGER_BYTES = 1024 * 1024  # that it may still send meanwhile
_WITHOUT_BODY = frozenset((204, 304))  # they end with their head (RFC 9112 §6.3)


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_address", "_ahead", "_answer_10", "_chunked", "_closing", "_deadline", "_exchange", "_front",
        "_head_only", "_keep_alive", "_paused_since", "_queue", "_reader", "_reading", "_starting",
        "_transport", "_upgraded", "_upload", "scheme",
    )  # fmt: skip

    def __init__(self, front: Front) -> None:
        self._front = front
        self._reader = RequestReader(
            self, self, max_body=front.limits.max_body, next_id=front.next_id, uploads=front.uploads
        )
        self._upload: Upload | None = None  # that is not whole
        self._transport: Any = None
        self._exchange: Exchange | None = None  # at work
        self._queue: deque[tuple[Exchange, bool, bool] | ApiError] = deque()
        self._starting = False  # the queue is being worked off, further up the stack
        self._keep_alive = True  # after the answer under way
        self._head_only = False  # the answer under way has no body (HEAD)
        self._chunked = False  # the answer under way is framed in chunks
        self._answer_10 = False  # the answer under way goes to an HTTP/1.0 client
        self._closing = False
        self._reading = True
        self._ahead = 0
        self._address = ""
        self.scheme = b"http"
        self._paused_since = inf
        self._deadline = inf
        self._upgraded: WebSocketConnection | None = None  # who has the transport now

    # --- the transport's side -------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer: Any = transport.get_extra_info("peername")
        if peer and not isinstance(peer, (str, bytes)):  # a Unix socket's is a path
            self._address = client_address(str(peer[0]), None, self._front.trusted)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
        transport.set_write_buffer_limits(high=HOLD_BYTES, low=HOLD_BYTES // 4)
        self._front.connections.add(self)
        self._deadline = self._front.now() + self._front.limits.header

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connections.discard(self)
        self._client_left()

    def _client_left(self) -> None:
        self._closing = True
        self._queue.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.call is not None:
            exchange.call.cancel()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._reader.failed:
            self._ahead += len(data)  # the rest of what a refused client sends does not matter
            if self._ahead > _LINGER_BYTES:
                self.abort()
            return
        busy = self._exchange is not None or bool(self._queue)
        self._reader.feed(data, at_rest=not busy)
        if busy:
            self._ahead += len(data)
            if self._ahead > READ_AHEAD and self._reading and self._queue:
                self._reading = False
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._client_left()  # a client that half-closes has left (as nginx sees it)
        self._deadline = self._front.now() + self._front.limits.stalled_reader
        return False

    def pause_writing(self) -> None:
        self._paused_since = self._front.now()
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.pause()

    def resume_writing(self) -> None:
        self._paused_since = inf
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.resume()
        self._next_turn()

    def tick(self, now: float) -> None:
        """Apply the deadlines at loop time `now`."""
        if now - self._paused_since >= self._front.limits.stalled_reader:
            self.abort()
        elif now >= self._deadline:
            if self._transport.is_closing():
                self.abort()  # it was closed long ago, and what was written is still not read
            elif self._closing or not self._reader.midway:
                self._close()
            else:
                what = "headers" if self._reader.in_head else "body"
                self._reader.failed = True
                self.refused(RequestTimeoutError(f"The request's {what} did not arrive in time."))
        elif self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.tick(now)

    # --- the reader's side ----------------------------------------------------------------------------

    def took(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        """A whole request: it starts, or waits for its turn."""
        if self._exchange is None and not self._queue and self._paused_since == inf and not self._closing:
            self._start(exchange, keep_alive, http10)
            self._front.dispatch(exchange)
        else:
            self._queue.append((exchange, keep_alive, http10))
            self._next_turn()

    def offered(self, exchange: Exchange, upgrade: bytes) -> bool:
        """A request to change the protocol: whether it is a WebSocket now."""
        head = exchange.head
        open_session = self._front.sockets.get(head.path)
        if open_session is None or upgrade.strip().lower() != b"websocket" or head.method != b"GET":
            return False
        if self._exchange is not None or self._queue or self._closing or self._paused_since != inf:
            return False
        self._start(exchange, False, False)
        try:
            if self._front.draining:
                raise UnavailableError("The platform is shutting down; try again.", code="shutting_down")
            lines = websocket_upgrade.open_lines(head, upgrade)
        except ApiError as error:
            self.answer(error.status_code, websocket_upgrade.error_lines(error), error.as_json())
            return True
        self._upgrade(exchange, lines, open_session)
        return True

    def _upgrade(self, exchange: Exchange, lines: bytes, open_session: OpenSession) -> None:
        front = self._front
        name = b"x-request-id: %b\r\nx-api-version: v1\r\n\r\n" % exchange.id.encode()
        self._transport.write(b"".join((heads.status_line(101), lines, front.date, name)))
        self._exchange = None
        self._closing = True
        socket = self._upgraded = WebSocketConnection(
            front,
            self._transport,
            scheme=self.scheme,
            address_of=self.address_of,
            gone=front.connections.discard,
        )
        front.connections.discard(self)
        front.connections.add(socket)
        self._transport.set_protocol(socket)
        socket.open(open_session(socket, exchange.head))

    def passed_over(self, data: bytes) -> None:
        """What came with the request that changed the protocol."""
        if self._upgraded is not None:
            self._upgraded.data_received(data)

    def began(
        self, exchange: UploadExchange, length: int | None, *, http10: bool, expects: bool
    ) -> Upload | None:
        """An upload's head: the call starts, unless something is before it."""
        if self._exchange is not None or self._queue or self._paused_since != inf or self._closing:
            return None
        most = self._front.limits.max_upload
        check_length(length or 0, most)
        upload = exchange.upload = self._upload = Upload(self, exchange, length, most)
        self._start(exchange, False, http10)  # what is kept alive is known at the upload's end
        self._deadline = self._front.now() + self._front.limits.body
        self._front.dispatch(exchange)
        if expects and upload.is_open:
            self._transport.write(heads.CONTINUE)
        return upload

    def ended(self, exchange: UploadExchange, keep_alive: bool) -> None:
        """The upload is whole."""
        upload, self._upload = self._upload, None
        if upload is not None and upload.is_open:
            self._keep_alive = keep_alive and not self._front.draining
            self._ahead, self._deadline = 0, inf
            upload.end()

    def is_at_work(self, exchange: Exchange) -> bool:
        """Whether it is the one that is being answered."""
        return exchange is self._exchange

    def read_on(self, wanted: bool) -> None:
        """Read the upload on, or let its client wait."""
        self._deadline = self._front.now() + self._front.limits.body if wanted else inf
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def break_off(self, error: ApiError) -> None:
        """Answer an upload with `error`, whatever is at work on it."""
        upload, exchange = self._upload, self._exchange
        assert upload is not None
        if exchange is None or upload.answered:
            self.abort()
            return
        if exchange.call is not None:
            exchange.call.cancel()
        self.answer(error.status_code, heads.JSON, error.as_json())

    def refused(self, error: ApiError) -> None:
        """A request that breaks the rules: it is answered in its turn, and nothing behind it is."""
        if self._upload is not None:
            self.break_off(error)
            return
        self._queue.append(error)
        self._next_turn()

    def progressed(self) -> None:
        """Set the deadline for what is being read, unless an answer is under way."""
        if self._exchange is None and not self._queue and not self._closing:
            front = self._front
            patience = front.limits.header if self._reader.in_head else front.limits.body
            self._deadline = front.now() + patience

    def expected(self) -> None:
        """The client waits for leave to send its body; behind another answer it has to wait on."""
        if self._exchange is None and not self._queue:
            self._transport.write(heads.CONTINUE)

    def _next_turn(self) -> None:
        """Start what waits, one after another; answers that come at once do not pile up on the stack."""
        if self._starting:
            return
        self._starting = True
        while self._queue and self._exchange is None and self._paused_since == inf and not self._closing:
            turn = self._queue.popleft()
            if isinstance(turn, ApiError):
                self._start(Exchange(self._front.next_id(), self, RequestHead()), False, False)
                self.answer(turn.status_code, heads.JSON, turn.as_json())
            else:
                self._start(*turn)
                self._front.dispatch(turn[0])
        self._starting = False

    def _start(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        self._exchange = exchange
        self._answer_10 = http10
        self._keep_alive = keep_alive and not self._front.draining
        self._head_only = exchange.head.method == b"HEAD"
        self._deadline = inf
        exchange.started_at = self._front.now()

    # --- answering ------------------------------------------------------------------------------------

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
        if status in _WITHOUT_BODY:
            self._chunked, self._head_only = False, True
            self._transport.write(b"".join([*self._head(status, headers), b"\r\n"]))
            return
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
        if self._head_only:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)

    def finish(self) -> None:
        if self._chunked and not self._head_only:
            self._transport.write(b"0\r\n\r\n")
        self._done()

    def hold(self, most: int | None) -> None:
        """Hold about `most` bytes that the client does not read, then pause the call; None for the usual."""
        hold(self._transport, most)

    def abort(self) -> None:
        self._client_left()  # settled now: the transport tells only later that it is gone
        if self._transport is not None:
            self._transport.abort()

    def _done(self) -> None:
        front = self._front
        self._exchange = None
        if not self._keep_alive:
            self._linger()
            return
        if self._queue:
            self._next_turn()
            return
        self._ahead = 0
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        limits = front.limits
        self._deadline = front.now() + (limits.body if self._reader.midway else limits.idle)

    def address_of(self, head: RequestHead) -> str:
        """Who asks: the peer, or what a trusted proxy says of it."""
        if head.forwarded_for is None:
            return self._address
        return client_address(self._address, head.forwarded_for, self._front.trusted)

    @property
    def busy(self) -> bool:
        """Whether the client waits for an answer, or for the rest of one."""
        return self._exchange is not None or self._transport.get_write_buffer_size() > 0

    def close_when_idle(self) -> None:
        """Close now, or when the answer under way is complete."""
        if self._exchange is None and not self._reader.midway:
            self._close()
        else:
            self._keep_alive = False

    def _linger(self) -> None:
        """Half-close, so that a client still sending can read its answer before the cut."""
        self._queue.clear()
        self._ahead = 0
        if self._transport.is_closing() or not self._transport.can_write_eof():  # TLS has no half-close
            self._close()
            return
        self._closing = True
        self._deadline = self._front.now() + _LINGER
        self._transport.write_eof()
        if not self._reading:
            self._transport.resume_reading()

    def _close(self) -> None:
        """Close when what was written is read, or nobody reads it for too long."""
        self._closing = True
        self._deadline = self._front.now() + self._front.limits.stalled_reader
        self._transport.close()
