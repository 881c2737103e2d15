"""Server-sent events: bytes in, however they were cut, whole events out.

Rules (WHATWG HTML, section 9.2.6, "Interpreting an event stream"):
 1. Lines end in LF, CRLF or CR. A byte order mark before the first line is no part of it.
 2. A blank line ends an event. An event without a `data` line is none: its other fields are dropped.
 3. A line that starts with a colon is a comment; so services keep a silent connection alive.
 4. `name: value`, of which one space after the colon is dropped; a line without a colon is a name alone.
 5. Several `data` lines are joined by LF. `event` names the type. `id` stays for later events, and is
    ignored with a NUL in it; `retry` counts only if all digits. Other names are ignored.
 6. What is unfinished when the bytes end is no event (`finish` shows it to those who want to be lenient).
"""

from __future__ import annotations

import msgspec

from abyssal.wire.errors import ProtocolError

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""An event longer than this is not one: some other kind of answer, or an attack on memory."""

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. `data` is as it came: UTF-8 by the rules, not yet decoded."""

    data: bytes
    type: str = "message"
    id: str = ""

    @property
    def text(self) -> str:
        """`data` as text; bytes that are not UTF-8 become U+FFFD, as the rules say."""
        return self.data.decode("utf-8", "replace")


class EventDecoder:
    """Takes a stream's bytes in pieces of any size; knows nothing of what the data mean.

    `retry` is the last reconnection time in milliseconds that was sent, None if none was.
    """

    __slots__ = ("_after_cr", "_held", "_id", "_limit", "_parts", "_started", "_tail", "_type", "retry")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.retry: int | None = None
        self._limit = max_event_bytes
        self._started = False
        self._after_cr = False  # the last byte was a CR: an LF that follows belongs to it
        self._tail: list[bytes] = []  # pieces of a line that has not ended
        self._parts: list[bytes] = []  # `data` lines of an event that has not ended
        self._held = 0  # bytes taken since an event last ended
        self._type = "message"
        self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in `data`, in order.

        Raises ProtocolError when an event grows over the limit; the decoder is of no use after that.
        """
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        lines = data.split(b"\n")
        if len(lines) == 3 and not self._held and self._started and self._type == "message":
            # Nearly all reads of a stream are one event of one line.
            line, blank, rest = lines
            if not blank and not rest and line.startswith(b"data: "):
                return [Event(line[6:], "message", self._id)]
        events: list[Event] = []
        rest = lines.pop()
        if lines:
            if self._tail:
                self._tail.append(lines[0])
                lines[0] = b"".join(self._tail)
                self._tail.clear()
            if not self._started:
                self._started = True
                lines[0] = lines[0].removeprefix(_BOM)
            parts = self._parts
            for line in lines:
                if line.startswith(b"data: "):
                    parts.append(line[6:])
                elif line:
                    self._take_field(line)
                elif parts:
                    events.append(
                        Event(parts[0] if len(parts) == 1 else b"\n".join(parts), self._type, self._id)
                    )
                    parts.clear()
                    self._type = "message"
                else:
                    self._type = "message"
        if rest:
            self._tail.append(rest)
        if rest or self._parts:
            self._held = len(data) if events else self._held + len(data)
            if self._held > self._limit:
                raise ProtocolError(
                    f"One event of the stream is longer than {self._limit} bytes; "
                    "what answers there does not speak server-sent events as it says."
                )
        else:
            self._held = 0
        return events

    def finish(self) -> Event | None:
        """The event that the end of the bytes cut off before its blank line, None if there is none."""
        return next(iter(self.feed(b"\n\n")), None)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data.endswith(b"\r"):
            self._after_cr = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._parts.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace") or "message"
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value)
