"""WebSocket for clients: takes over a connection's transport and hands whole messages to a session.

1. Frames are read by `websockets` (RFC 6455), but for a read that is one message (`websocket_frames`). A
   message that is not UTF-8 text, or over `MAX_MESSAGE`, ends the socket. So do more than `MAX_FRAGMENTS` in
   a message, and more than `MAX_FRAMES` in one read: each frame costs the same, empty or not.
2. What goes out is written as frames already; only pings, pongs and closings are made here.
3. A ping every `PING_EVERY` seconds, and its pong within as many, unless what was written before the ping
   still waits for the client.
4. A client that reads nothing for the front's patience with stalled readers is cut; one that reads slowly is
   not. What it does not read is bounded as for HTTP: past it the session pauses, and then the reading.
5. A closing that we began waits `LINGER` seconds for the other side's; a client that half-closes has left.
6. Time comes with `tick`, once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as Frames

from abyssal.gateway.exchange import RequestHead
from abyssal.gateway.front.holding import hold
from abyssal.gateway.front.websocket_frames import left_after, only_message
from abyssal.wire.errors import ApiError, BadRequestError

MAX_MESSAGE = 1024 * 1024
MAX_FRAGMENTS = 1024
MAX_FRAMES = 512
PING_EVERY = 20.0  # seconds
LINGER = 2.0  # seconds
READ_AHEAD = 64 * 1024
_LINGER_BYTES = 1024 * 1024  # that a client may still send while it is turned away
_SLICE = 2048  # bytes read between two looks at how many frames they were

UNSUPPORTED, INVALID_TEXT, POLICY, INTERNAL = 1003, 1007, 1008, 1011  # RFC 6455 §7.4.1


class Session(Protocol):
    """Who gets the messages."""

    def open(self) -> None: ...
    def message(self, text: bytes) -> None: ...
    def turn_away(self, error: ApiError, code: int) -> None: ...
    def left(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def tick(self, now: float) -> None: ...
    def drain(self) -> None: ...
    @property
    def busy(self) -> bool: ...


class Patience(Protocol):
    """How long the front waits, in seconds."""

    stalled_reader: float


class Front(Protocol):
    """What a socket needs of the whole."""

    draining: bool

    @property
    def limits(self) -> Patience: ...
    @property
    def next_id(self) -> Callable[[], str]: ...
    @property
    def now(self) -> Callable[[], float]: ...


class WebSocketConnection(asyncio.Protocol):
    """One socket. `address_of` is the HTTP connection's, `gone` is called once when the transport is lost."""

    __slots__ = (
        "_address_of",
        "_ahead",
        "_closing",
        "_deadline",
        "_frames",
        "_front",
        "_gone",
        "_left",
        "_paused",
        "_pinged_at",
        "_pong_due",
        "_progress",
        "_progress_at",
        "_reading",
        "_session",
        "_text",
        "_transport",
        "_written",
        "scheme",
    )  # fmt: skip

    def __init__(
        self,
        front: Front,
        transport: Any,
        *,
        scheme: bytes,
        address_of: Callable[[RequestHead], str],
        gone: Callable[[WebSocketConnection], None],
    ) -> None:
        self._front = front
        self._transport = transport
        self.scheme, self._address_of, self._gone = scheme, address_of, gone
        self._frames = Frames(SERVER, max_size=MAX_MESSAGE)
        self._session: Session
        self._left: int | None = 0  # bytes of a frame that have not come
        self._text: list[bytes] = []  # of a message whose last fragment has not come
        self._closing = False  # nothing more is written; the session is over
        self._deadline = inf  # of the closing
        self._reading = True
        self._paused = False
        self._ahead = 0  # bytes read since the client stopped reading, or was turned away
        self._pinged_at = self._progress_at = front.now()
        self._pong_due = False
        self._written = self._progress = 0  # bytes ever, and of them gone at the last tick

    def address_of(self, head: RequestHead) -> str:
        """Who asks, as the HTTP connection tells."""
        return self._address_of(head)

    def open(self, session: Session) -> None:
        """The upgrade was answered: `session` gets what comes."""
        self._session = session
        session.open()

    # --- the transport's side -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._paused or self._closing:
            self._ahead += len(data)
            if self._closing and self._ahead > _LINGER_BYTES:
                self.abort()
                return
            if self._ahead > READ_AHEAD and self._reading and not self._closing:
                self._reading = False
                self._transport.pause_reading()
        elif self._left == 0 and not self._text:
            text = only_message(data)
            if text is not None:
                self._message(text)
                return
        frames, taken = self._frames, 0
        for at in range(0, len(data), _SLICE):
            piece = data[at : at + _SLICE] if len(data) > _SLICE else data
            self._left = left_after(self._left, piece)
            frames.receive_data(piece)
            events = frames.events_received()
            taken += len(events)
            if taken > MAX_FRAMES:
                self._fail(POLICY, "too many frames at once")
            for event in events:
                if self._closing or frames.state is not OPEN:
                    break  # who closes wants no answer
                assert isinstance(event, Frame)
                self._take(event)
            self._flush()

    def _take(self, event: Frame) -> None:
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.CONT:
            if event.fin and not self._text:
                self._message(bytes(event.data))
                return
            self._text.append(bytes(event.data))
            if event.fin:
                text, self._text = b"".join(self._text), []
                self._message(text)
            elif len(self._text) > MAX_FRAGMENTS:
                self._fail(POLICY, "too many fragments")
        elif opcode is Opcode.BINARY:
            error = BadRequestError("A binary message; send JSON in text messages.", code="binary_message")
            self._session.turn_away(error, UNSUPPORTED)
        elif opcode is Opcode.PONG:
            self._pong_due = False

    def _message(self, text: bytes) -> None:
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as fault:
                error = BadRequestError(
                    f"The message is not UTF-8: byte {fault.start} is invalid.", code="invalid_utf8"
                )
                self._session.turn_away(error, INVALID_TEXT)
                return
        self._session.message(text)

    def eof_received(self) -> bool:
        self._leave()
        self._deadline = self._front.now() + LINGER
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._gone(self)

    def pause_writing(self) -> None:
        self._paused = True
        if not self._closing:
            self._session.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._closing:
            return
        self._ahead = 0
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._session.resume()

    # --- the session's side ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write whole frames."""
        if not self._closing:
            self._written += len(data)
            self._transport.write(data)

    def hold(self, most: int | None) -> None:
        """Hold about `most` bytes that the client does not read, then pause; None for the usual."""
        hold(self._transport, most)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing (RFC 6455 §7.1.2); the session is over and says nothing more."""
        if not self._closing and self._frames.state is OPEN:
            self._frames.send_close(code, reason)
            self._flush()
            self._leave()

    @property
    def now(self) -> Callable[[], float]:
        """Loop time, seconds."""
        return self._front.now

    @property
    def next_id(self) -> Callable[[], str]:
        """Names for calls and complaints."""
        return self._front.next_id

    @property
    def draining(self) -> bool:
        """Whether the server goes away."""
        return self._front.draining

    @property
    def writable(self) -> bool:
        """Whether the client reads what is written."""
        return not self._paused

    # --- the front's side -----------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Apply the deadlines at loop time `now`."""
        held = self._transport.get_write_buffer_size()
        progress = self._written - held
        if not held or progress != self._progress:
            self._progress, self._progress_at = progress, now
        elif now - self._progress_at >= self._front.limits.stalled_reader:
            self.abort()
            return
        if self._closing:
            self._tick_closing(now, held)
        elif self._pong_due:
            if held:
                self._pinged_at = now
            elif now - self._pinged_at >= PING_EVERY:
                self._fail(INTERNAL, "no pong came")
            else:
                self._session.tick(now)
        else:
            if now - self._pinged_at >= PING_EVERY:
                self._frames.send_ping(b"")
                self._flush()
                self._pinged_at, self._pong_due = now, True
            self._session.tick(now)

    def _tick_closing(self, now: float, held: int) -> None:
        if held:
            self._deadline = now + LINGER
        elif now >= self._deadline:
            if self._transport.is_closing():
                self.abort()
            else:
                self._deadline = now + LINGER
                self._transport.close()

    @property
    def busy(self) -> bool:
        """Whether an answer is owed, or on its way, or a closing under way."""
        if self._closing:
            return not self._transport.is_closing() or self._transport.get_write_buffer_size() > 0
        return self._session.busy or self._transport.get_write_buffer_size() > 0

    def close_when_idle(self) -> None:
        """Close now, or when the answers under way are complete."""
        if not self._closing:
            self._session.drain()

    def abort(self) -> None:
        """Cut the connection."""
        self._leave()
        self._transport.abort()

    # --- the end --------------------------------------------------------------------------------------

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 §7.1.7)."""
        if not self._closing:
            self._frames.fail(code, reason)
            self._flush()

    def _flush(self) -> None:
        """Write what `_frames` has to say; its end is an empty piece."""
        pieces = self._frames.data_to_send()
        if pieces:
            data = b"".join(pieces)
            if data:
                self._written += len(data)
                self._transport.write(data)
            if not pieces[-1]:
                self._end()

    def _leave(self) -> None:
        if not self._closing:
            self._closing = True
            self._ahead = 0
            self._deadline = self._front.now() + LINGER
            self._session.left()
            if not self._reading:
                self._reading = True
                self._transport.resume_reading()  # the other side's closing is still to come

    def _end(self) -> None:
        """Nothing more is written: both sides said they close, or the client broke a rule."""
        self._leave()
        if self._frames.close_rcvd is not None or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()  # a client still sending can read why before the cut
