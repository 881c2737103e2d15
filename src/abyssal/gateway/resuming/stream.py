"""One resumable stream: takes a call's answer as a client would, and hands it to whoever reads at the moment.

1. It stands between a call and a connection (`exchange.Client`). The call belongs to an exchange of its own,
   so that a connection that goes takes nothing with it but its `Reader`.
2. Once a stream has begun, its events are numbered and kept (`buffer`); other answers pass as they are.
3. A reader gets what its connection takes; the rest waits here. While there is no reader, or it does not keep
   up, and the buffer is full, the upstream is paused: nothing that was not written is ever dropped.
4. A new reader takes the stream over; the one before is ended.
5. A stream that has not told an id yet cannot be asked for: its client's leaving ends it, as any call.
6. What cannot be numbered is passed on as it is, and cannot be resumed.
"""

from __future__ import annotations

from math import inf
from typing import Protocol, runtime_checkable

from abyssal.gateway.exchange import Client, Exchange, RequestHead
from abyssal.gateway.resuming.buffer import EventBuffer
from abyssal.gateway.resuming.form import Form

HOLD_BYTES = 16 * 1024
"""What a reader's connection holds of a stream; the rest waits in the buffer."""
HISTORY = 0.75
"""The part of a buffer that stays for what was written and may not have arrived."""


@runtime_checkable
class Connection(Client, Protocol):
    """A client's connection, as a reader of a resumable stream."""

    def hold(self, most: int | None) -> None:
        """Hold about `most` bytes that the client does not read, None for as many as usual."""
        ...


class Keeper(Protocol):
    """Who has all the streams of a worker."""

    bound: int  # bytes that a stream may keep
    draining: bool

    def now(self) -> float: ...
    def grew(self, by: int) -> bool:
        """A stream's bytes changed; whether all together are within their bounds."""
        ...

    @property
    def full(self) -> bool: ...
    def began(self, stream: ResumableStream) -> None: ...
    def left(self, stream: ResumableStream) -> None: ...
    def came(self, stream: ResumableStream) -> None: ...
    def forget(self, stream: ResumableStream) -> None: ...


class Reader:
    """The connection's side of a stream: the call of its exchange, as the connection sees it."""

    __slots__ = ("client", "exchange", "paused", "stream")

    def __init__(self, exchange: Exchange, client: Connection, stream: ResumableStream) -> None:
        self.exchange, self.client, self.stream = exchange, client, stream
        self.paused = False
        exchange.call = self

    def cancel(self) -> None:
        """The client left."""
        self.exchange.call = None
        self.stream.left(self)

    def pause(self) -> None:
        self.paused = True
        self.stream.steer()

    def resume(self) -> None:
        self.paused = False
        self.stream.go_on(self)

    def tick(self, now: float) -> None:
        self.stream.tick(self, now)

    def let_go(self) -> None:
        """The connection goes on with something else."""
        self.exchange.call = None
        self.client.hold(None)


class ResumableStream:
    """See the module. `stem` is what its ids begin with; `lines` are added to each head of its answers."""

    __slots__ = (
        "_buffer",
        "_exchange",
        "_form",
        "_headers",
        "_keeper",
        "_lines",
        "_numbered",
        "_open",
        "_paused",
        "_reader",
        "left_at",
        "live",
        "project",
        "route",
        "stem",
    )  # fmt: skip

    def __init__(self, keeper: Keeper, form: Form, *, stem: bytes, route: bytes, lines: bytes) -> None:
        self._keeper, self._form, self._lines = keeper, form, lines
        self.stem, self.route = stem, route
        self.project = ""
        self.live = True  # the call is at work
        self.left_at = inf  # when the last reader left, loop time in seconds
        self._exchange: Exchange | None = None
        self._reader: Reader | None = None
        self._buffer = EventBuffer()
        self._headers = b""
        self._open = False  # a stream has begun
        self._numbered = False  # ... and its events are kept
        self._paused = False

    def serve(self, outer: Exchange, client: Connection) -> Exchange:
        """Stand between `outer`, which came on `client`, and the call that answers it: its exchange."""
        inner = Exchange(outer.id, self, outer.head)
        inner.body, inner.started_at, inner.scope = outer.body, outer.started_at, outer.scope
        inner.forms = outer.forms
        self._exchange = inner
        self._reader = Reader(outer, client, self)
        return inner

    # --- the call's side ------------------------------------------------------------------------------

    @property
    def scheme(self) -> bytes:
        return self._reader.client.scheme if self._reader is not None else b""

    def address_of(self, head: RequestHead) -> str:
        return self._reader.client.address_of(head) if self._reader is not None else ""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer, or a refusal: there is nothing to resume."""
        self._over()
        reader = self._release()
        if reader is not None:
            reader.client.answer(status, headers, body)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """A stream's head; or that of a large whole answer, which passes."""
        reader, exchange = self._reader, self._exchange
        if exchange is not None and b"text/event-stream" in headers and b"content-encoding:" not in headers:
            principal = exchange.principal
            assert principal is not None
            self.project = principal.credential.project.id
            self._headers = headers + self._lines
            self._open = self._numbered = True
            self._keeper.began(self)
            if reader is not None:
                reader.client.hold(HOLD_BYTES)
                reader.client.begin(status, self._head(0), None)
        elif reader is not None:
            reader.client.begin(status, headers, length)

    def send(self, data: bytes) -> None:
        """Whole events, or comments that keep a connection open."""
        if self._numbered:
            try:
                events, comments = self._form.split(data)
            except ValueError:
                self._give_up()
            else:
                self._take(events, comments)
                return
        if self._reader is not None:
            self._reader.client.send(data)

    def finish(self) -> None:
        """The answer is complete; the reader may still have to catch up."""
        self._over()
        if not self._numbered or self._reader is None or not self._buffer.ahead:
            self._finished()

    def abort(self) -> None:
        """The answer cannot be completed."""
        self._over()
        self._drop()
        reader = self._release()
        if reader is not None:
            reader.client.abort()

    def _over(self) -> None:
        self.live = False
        self._exchange = None

    def _take(self, events: list[bytes], comments: bytes) -> None:
        buffer, reader = self._buffer, self._reader
        if comments and reader is not None and not buffer.ahead:
            reader.client.send(comments)
        if not events:
            return
        before = buffer.size
        for event in events:
            buffer.append(event)
        if reader is not None and not reader.paused:
            self._write(reader)
        self._trim(before)
        self.steer()

    def _trim(self, before: int) -> None:
        """Keep within the bounds; `before` is the size that the keeper knows."""
        buffer, keeper = self._buffer, self._keeper
        history = int(keeper.bound * HISTORY)
        buffer.trim(keeper.bound, history)
        if not keeper.grew(buffer.size - before) and self._reader is not None:
            known = buffer.size
            buffer.trim(0, history // 4)
            keeper.grew(buffer.size - known)

    def _give_up(self) -> None:
        self._numbered = False
        if self._reader is None:
            self.left_at = -inf  # nobody can come back: the next sweep ends it
            return
        self._write(self._reader, heedless=True)
        self._keeper.forget(self)

    # --- the reader's side ----------------------------------------------------------------------------

    def attach(self, outer: Exchange, client: Connection, number: int) -> bool:
        """Let `outer` read on after event `number`; False when what follows it is not there."""
        if not self._numbered or not self._buffer.seek(number):
            return False
        old = self._release()
        self._keeper.came(self)
        self.left_at = inf
        reader = self._reader = Reader(outer, client, self)
        client.hold(HOLD_BYTES)
        client.begin(200, self._head(number), None)
        self.go_on(reader)
        if old is not None:
            self._bid_farewell(old)  # at last: what waits there may ask for this very stream
        return True

    def go_on(self, reader: Reader) -> None:
        """Write what the reader has not got, as long as it takes it."""
        if reader is not self._reader:
            return
        if self._numbered:
            self._write(reader)
            if not self.live and reader is self._reader and not self._buffer.ahead:
                self._finished()
                return
        self.steer()

    def _write(self, reader: Reader, *, heedless: bool = False) -> None:
        buffer, numbered, stem = self._buffer, self._form.numbered, self.stem
        while buffer.ahead and reader is self._reader and (heedless or not reader.paused):
            number, events = buffer.take(HOLD_BYTES)
            out = [numbered(event, b"%b%d" % (stem, at)) for at, event in enumerate(events, number)]
            reader.client.send(out[0] if len(out) == 1 else b"".join(out))

    def steer(self) -> None:
        """Pause the upstream while what it sends has no place, and let it go on when it has."""
        exchange, reader, keeper = self._exchange, self._reader, self._keeper
        if exchange is None:
            return
        behind = reader is None or reader.paused
        wanted = behind and (not self._numbered or self._buffer.size >= keeper.bound or keeper.full)
        if wanted != self._paused:
            self._paused = wanted
            call = exchange.call
            if call is not None:
                if wanted:
                    call.pause()
                else:
                    call.resume()

    def left(self, reader: Reader) -> None:
        """The reader's client is gone."""
        if reader is not self._reader:
            return
        self._reader = None
        told = self._numbered and (self._form.begins_with_id or self._buffer.last > 0)
        if not told or self._keeper.draining:
            self.end()
            return
        self.left_at = self._keeper.now()
        self._keeper.left(self)
        self.steer()

    def tick(self, reader: Reader | None, now: float) -> None:
        """A second or so passed; `reader` is whose connection noticed, None for nobody's."""
        if reader is self._reader and self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.tick(now)

    def stop(self, reader: Reader | None = None) -> None:
        """Nobody wants more of it. `reader` is who says so, and needs not be told."""
        current = self._release()
        self.end()
        if current is not None and current is not reader:
            self._bid_farewell(current)

    def end(self) -> None:
        """Stop the call, if it is at work, and keep nothing."""
        exchange = self._exchange
        self._over()
        self._drop()
        if exchange is not None and exchange.call is not None:
            exchange.call.cancel()

    def _drop(self) -> None:
        """Keep nothing, not even what the call may still have to say."""
        self._keeper.forget(self)
        self._numbered = False

    def _release(self) -> Reader | None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.let_go()
        return reader

    def _bid_farewell(self, reader: Reader) -> None:
        """No more comes to a reader that was let go."""
        words = self._form.farewell(reader.exchange.id)
        if words:
            reader.client.send(words)
            reader.client.finish()
        else:
            reader.client.abort()

    def _finished(self) -> None:
        """The reader has got everything; without one, nothing more comes."""
        reader = self._release()
        if self._numbered:
            self.left_at = self._keeper.now()
            self._keeper.left(self)
        if reader is not None:
            reader.client.finish()

    def _head(self, number: int) -> bytes:
        return b"%bx-abyssal-event-id: %b%d\r\n" % (self._headers, self.stem, number)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self._buffer.size
