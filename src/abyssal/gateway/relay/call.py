"""One call to an upstream: bytes up, bytes down, as they come.

1. A plain answer is held until it is whole (up to `HOLD_BYTES`), so that an upstream that breaks half-way
   is a typed error and not a torn body. A larger one is passed on as it comes.
2. A stream is passed on in whole events: what the client has got always parses, and an error event can
   follow it.
3. Before the first byte a fault is an error answer; after it, an error event and the end of a stream, or
   a cut connection where a body was promised.
4. A reused connection that closes at once without a byte, and had not taken the whole request, was closed
   while idle: the request is sent once more on a fresh one. Nothing else is ever sent twice.
5. Every way out settles, once, and before the client can know the end: what was acknowledged is written.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.relay import heads
from abyssal.gateway.relay.events import Ending, EventStream
from abyssal.gateway.relay.tail import AnswerTail
from abyssal.gateway.repairs.usage import with_usage
from abyssal.gateway.upstreams.connection import Headers, UpstreamConnection, UpstreamFaultError
from abyssal.gateway.upstreams.upstream import Upstream
from abyssal.wire.errors import ApiError, UnavailableError, UpstreamBrokenError, UpstreamTimeoutError
from abyssal.wire.usage import usage_of_answer

HOLD_BYTES = 512 * 1024
_AT_ONCE = 2.0  # seconds in which word of a closed connection arrives; later, the upstream was at work
KEEP_ALIVE = b": keep-alive\n\n"
_CHATS = ("chat", "beta chat")

_NONE_YET = Headers()

_WAITING, _HOLDING, _PASSING, _STREAMING, _OVER = range(5)


class RelayContext:
    """What every call of a worker shares. `comment_every` is in seconds."""

    def __init__(
        self,
        *,
        settle: Callable[[Exchange], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        now: Callable[[], float],
        comment_every: float,
    ) -> None:
        self.settle, self.spawn, self.now, self.comment_every = settle, spawn, now, comment_every


class RelayCall:
    """See the module. Times are loop time, in seconds."""

    __slots__ = (
        "_connection", "_context", "_exchange", "_headers", "_held", "_held_bytes", "_length", "_out",
        "_paused", "_request", "_settled", "_state", "_status", "_stream", "_streams", "_tail", "_touched",
        "_upstream", "_written_at",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, upstream: Upstream, context: RelayContext) -> None:
        self._exchange = exchange
        self._upstream = upstream
        self._context = context
        assert exchange.request is not None
        self._streams = bool(exchange.request.stream)
        self._connection: UpstreamConnection | None = None
        self._request = b""
        self._state = _WAITING
        self._settled = False
        self._status = 0
        self._headers = _NONE_YET
        self._length: int | None = None  # of the answer's body, where that is told
        self._held: list[bytes] = []  # an answer that is not a stream
        self._held_bytes = 0
        self._out: list[bytes] = []  # what this read has for the client
        self._stream: EventStream | None = None
        self._tail: AnswerTail  # of an answer that is passed on
        self._paused = False
        self._touched = self._written_at = exchange.started_at

    def start(self) -> None:
        """Put the request to the upstream."""
        self._exchange.call = self
        self._upstream.in_flight += 1
        self._request = self._upstream.chat_request(self._exchange)
        connection = self._upstream.pool.acquire_nowait()
        if connection is None:
            self._context.spawn(self._connect())
        else:
            self._send(connection)

    async def _connect(self) -> None:
        pool = self._upstream.pool
        try:
            connection = await pool.connect()
        except UpstreamFaultError as fault:
            self.on_fault(fault)
            return
        if self._state == _OVER:
            pool.put_back(connection)  # the client left meanwhile
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._request, self)
        if self._paused:
            connection.pause()

    # --- the client's side ----------------------------------------------------------------------------

    def cancel(self) -> None:
        """The client left: stop the upstream and settle with what was used."""
        if self._state != _OVER:
            self._settle(499, "client_gone")
            self._close()

    def pause(self) -> None:
        """Stop reading from the upstream."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on; the silence so far was ours, not the upstream's."""
        self._paused = False
        self._touched = self._context.now()
        if self._connection is not None:
            self._connection.resume()

    def tick(self, now: float) -> None:
        """Time-outs, and a comment for a client that would otherwise hear nothing."""
        if self._state == _OVER or self._paused:
            return
        limit = self._upstream.first_byte_timeout if self._state == _WAITING else self._upstream.idle_timeout
        if now - self._touched >= limit:
            name = self._upstream.name
            self._fail(
                UpstreamTimeoutError(
                    f'The upstream "{name}" sent nothing for {limit:g} s; try again, or ask for less.'
                )
            )
        elif self._streams and now - self._written_at >= self._context.comment_every:
            if self._state == _WAITING and self._stream is None:
                self._begin_stream()
            if self._stream is not None:
                self._exchange.client.send(KEEP_ALIVE)
                self._written_at = now

    # --- the upstream's side --------------------------------------------------------------------------

    def on_head(self, status: int, headers: Headers, length: int | None) -> None:
        """The answer's head is whole."""
        self._touched = self._context.now()
        self._status, self._headers, self._length = status, headers, length
        if self._streams and status == 200 and _is_event_stream(headers):
            if self._stream is None:
                self._begin_stream()
            self._state = _STREAMING
        else:
            self._state = _HOLDING

    def on_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._state == _STREAMING:
            assert self._stream is not None
            events = self._stream.take(data)
            if events:
                self._out.append(events)
                self._exchange.relayed_events = self._stream.count
        elif self._state == _PASSING:
            self._out.append(data)
            self._tail.take(data)
        else:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > HOLD_BYTES:
                self._pass_on()

    def on_flush(self) -> None:
        """A read from the upstream was taken in; the answer goes on."""
        exchange = self._exchange
        self._touched = now = self._context.now()
        if not exchange.first_byte_at:
            exchange.first_byte_at = now
        out = self._out
        if out:
            self._out = []
            if self._stream is not None and self._stream.done and not self._settled:
                self._settle_ended(self._stream.ending())
            self._written_at = now
            exchange.client.send(out[0] if len(out) == 1 else b"".join(out))

    def on_end(self) -> None:
        """The answer is complete; its connection has been given back."""
        self._connection = None
        if not self._exchange.first_byte_at:
            self._exchange.first_byte_at = self._context.now()
        if self._state == _STREAMING:
            self._finish_stream()
        elif self._state == _PASSING:
            self._exchange.usage = self._tail.usage()
            self._settle(self._status, "")
            self.on_flush()
            self._close()
            self._exchange.client.finish()
        elif self._state == _HOLDING:
            self._finish_held()

    def on_fault(self, fault: UpstreamFaultError) -> None:
        """The upstream broke the exchange."""
        connection, self._connection = self._connection, None
        if self._state == _OVER:
            return
        stale = connection is not None and connection.reused and not fault.answered
        at_once = self._context.now() - self._exchange.started_at < _AT_ONCE
        if stale and at_once and fault.taken is not True and fault.code == "upstream_closed":
            self._context.spawn(self._connect())
            return
        kind: type[ApiError] = UpstreamBrokenError
        if fault.code == "upstream_timeout":
            kind = UpstreamTimeoutError
        elif fault.code == "upstream_unreachable":
            kind = UnavailableError
        message = f'The upstream "{self._upstream.name}" failed: {fault}; try again.'
        retry_after = 1.0 if kind is UnavailableError else None
        self._fail(kind(message, code=fault.code, retry_after=retry_after))

    # --- ways out -------------------------------------------------------------------------------------

    def _finish_held(self) -> None:
        exchange, held = self._exchange, self._held
        body = held[0] if len(held) == 1 else b"".join(held)
        name = self._upstream.name
        if self._status == 200 and body.startswith(b'{"error"'):
            self._status = heads.status_meant(body)
        if self._status != 200:
            relabel = "error_label" in self._upstream.profile.repairs
            status, body = self._upstream.repair_error(self._status, body)
            error = heads.error_answer(status, self._headers, body, name, relabel=relabel)
            if error.relabelled:
                exchange.repairs += ("error_label",)
            self._answer(error.status, error.lines, error.body, error.code)
            return
        lines = heads.forwarded(self._headers)
        if lines.find(b"content-encoding:") < 0:
            repairs = self._upstream.profile.repairs
            if body[:1].isspace() and "blank_lines" in repairs and exchange.route != "embeddings":
                body = body.strip()
                exchange.repairs += ("blank_lines",)
            try:
                body = self._upstream.repair_answer(exchange, body)
                if exchange.mending is not None:
                    body = exchange.mending.answer(exchange, body)
                exchange.usage = usage_of_answer(body)
                if exchange.usage is None and "usage" in repairs and exchange.route in _CHATS:
                    body, exchange.usage = with_usage(exchange, body)
                    if exchange.usage is not None:
                        exchange.repairs += ("usage",)
            except msgspec.DecodeError:
                message = f'The upstream "{name}" answered something that is not a JSON object; try again.'
                self._fail(UpstreamBrokenError(message, code="upstream_garbage"))
                return
        self._answer(200, lines, body, "")

    def _answer(self, status: int, lines: bytes, body: bytes, code: str) -> None:
        self._settle(status, code)
        self._close()
        client = self._exchange.client
        if self._stream is None:
            client.answer(status, lines + heads.repairs_line(self._exchange.repairs), body)
        else:  # a comment has begun the stream: the answer follows as an event
            client.send(b"data: %b\n\n" % b" ".join(body.splitlines()))
            client.finish()

    def _fail(self, error: ApiError) -> None:
        client = self._exchange.client
        already_passing = self._state == _PASSING
        if self._stream is not None:
            self._out.append(self._stream.release())
            if self._stream.done:
                self._settle_ended(self._stream.ending())
            else:
                self._settle_stream(error.status_code, str(error.code))
                self._out.append(b"data: %b\n\n" % error.as_json())
            self._close()
            last = b"".join(self._out)
            if last:
                client.send(last)
            client.finish()
            return
        self._settle(error.status_code, str(error.code))
        self._close()
        if already_passing:
            client.abort()
        else:
            lines = heads.error_lines(error) + heads.repairs_line(self._exchange.repairs)
            client.answer(error.status_code, lines, error.as_json())

    def _pass_on(self) -> None:
        if self._status != 200:
            self._finish_held()  # an error of this size is told by its beginning
            return
        if self._stream is not None:
            self._fail(UpstreamBrokenError("The upstream's answer is too large.", code="upstream_garbage"))
            return
        lines = heads.forwarded(self._headers) + heads.repairs_line(self._exchange.repairs)
        self._exchange.client.begin(self._status, lines, self._length)
        self._state = _PASSING
        self._tail = AnswerTail()
        self._tail.take(b"".join(self._held))
        self._out, self._held = self._held, []

    def _begin_stream(self) -> None:
        exchange = self._exchange
        stream_filter = self._upstream.stream_filter(exchange)
        if exchange.mending is not None:
            stream_filter = exchange.mending.stream_filter(exchange, stream_filter)
        clean = "blank_lines" in self._upstream.profile.repairs
        self._stream = EventStream(stream_filter, clean=clean)
        lines = heads.stream_lines(self._headers) + heads.repairs_line(exchange.repairs)
        exchange.client.begin(200, lines, None)

    def _finish_stream(self) -> None:
        assert self._stream is not None
        ending, rest = self._stream.end()
        if ending is Ending.EARLY:
            message = f'The upstream "{self._upstream.name}" ended its stream before the answer was complete.'
            error = UpstreamBrokenError(message, code="upstream_ended_early")
            self._settle_stream(error.status_code, str(error.code))
            rest += b"data: %b\n\n" % error.as_json()
        else:
            self._settle_ended(ending)
        if rest:
            self._out.append(rest)
        self.on_flush()
        self._close()
        self._exchange.client.finish()

    def _settle_ended(self, ending: Ending) -> None:
        if ending is Ending.ERROR:
            self._settle_stream(502, "upstream_error_event")
        else:
            self._settle_stream(200, "")

    def _settle_stream(self, status: int, code: str) -> None:
        assert self._stream is not None
        if not self._settled:
            self._exchange.relayed_events = self._stream.count
            self._exchange.usage = self._stream.usage()
            self._settle(status, code)

    def _settle(self, status: int, code: str) -> None:
        if not self._settled:
            self._settled = True
            exchange = self._exchange
            if self._stream is not None and exchange.usage is None:
                exchange.relayed_events = self._stream.count
                exchange.usage = self._stream.usage()
            exchange.status, exchange.code = status, code
            self._context.settle(exchange)

    def _close(self) -> None:
        """Let go of the upstream; what it was still sending is cut off."""
        self._state = _OVER
        self._upstream.in_flight -= 1
        self._exchange.call = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_event_stream(headers: Headers) -> bool:
    kind = b""
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            return False  # its events cannot be seen: it passes as a body like any other
        if name == b"content-type":
            kind = value.lower()
    return kind.startswith(b"text/event-stream")
