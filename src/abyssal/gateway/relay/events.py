"""What must be known of a stream while it passes: whole events, how many, and its end. Pure: bytes and bytes.

Nothing here parses an event that it does not have to: the end of the stream is kept and read once.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum

import msgspec

from abyssal.gateway.exchange import StreamFilter
from abyssal.wire.official_stream import whole_events
from abyssal.wire.usage import TokenUsage, usage_of_events

DONE = b"data: [DONE]\n\n"
_MOST_PARTIAL = 512 * 1024
_TAIL = 4  # data events at the end of a stream that tell how it ended

# A line end never stands inside a JSON string, so what these find is no text of an answer.
_DONE_LINE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_SIGNS_OF_LIFE = frozenset((b"\n", b"\r", b":"))  # blank lines and comments before an event
_COMMENT_LINE = re.compile(rb"^(:[^\r\n]*)\r?\n(?=[^\r\n])", re.MULTILINE)  # ... that no blank line ends
_BLANKS = re.compile(rb"\r?\n(?:\r?\n){2,}")
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')

_event = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Ending(Enum):
    """How a stream ended."""

    DONE = "it said [DONE]"
    FINISHED = "it gave a finish_reason, and no [DONE]"
    ERROR = "its last word was an error event"
    EARLY = "it ended before its answer was complete"


class EventStream:
    """One stream on its way. `count` is the number of data events so far, `[DONE]` not counted.

    `clean` takes blank lines away that stand before an event, and gives comments there an end of their own.
    """

    __slots__ = ("_clean", "_filter", "_partial", "_tail", "_usage", "count", "done")

    def __init__(self, stream_filter: StreamFilter | None, *, clean: bool = False) -> None:
        self._filter = stream_filter
        self._clean = clean
        self._partial = b""
        self._tail: deque[bytes] = deque(maxlen=_TAIL)  # the last pieces with data events in them
        self._usage = b""  # the last piece that told a usage
        self.count = 0
        self.done = False

    def take(self, data: bytes) -> bytes:
        """What of the upstream's `data` may be sent now: whole events, b"" for none."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        if not data.endswith(b"\n\n"):
            cut = whole_events(data)
            if cut < len(data):
                self._partial = data[cut:]
                if len(self._partial) > _MOST_PARTIAL:  # not events at all: let it pass
                    cut, self._partial = len(data), b""
                data = data[:cut]
        if self._clean and data[:1] in _SIGNS_OF_LIFE:
            data = _BLANKS.sub(b"\n\n", _COMMENT_LINE.sub(rb"\1\n\n", data.lstrip(b"\r\n")))
        if self._filter is not None and data:
            data = self._filter.feed(data)
        if data:
            self._note(data)
        return data

    def _note(self, data: bytes) -> None:
        if data.startswith(b"data: {") and data.find(b"\n") == len(data) - 2:  # nearly all: one line
            self.count += 1
            self._tail.append(data)
            if data.rfind(b'"usage"') >= 0 and _USAGE.search(data):  # `in` takes twice as long
                self._usage = data
            return
        events = data.count(b"\ndata:") + data.startswith(b"data:")
        if events:
            self.count += events
            self._tail.append(data)
            if b'"usage"' in data and _USAGE.search(data):
                self._usage = data
            if b"[DONE]" in data:
                said = len(_DONE_LINE.findall(data))
                self.count -= said
                self.done = self.done or said > 0

    def end(self) -> tuple[Ending, bytes]:
        """The stream is over: how it ended, and what is still to be sent of it."""
        rest = self.release()
        if not self.done and self._partial.strip() in (b"data: [DONE]", b"data:[DONE]"):
            self.done = True
            return self.ending(), rest + DONE
        ending = self.ending()
        return ending, rest + DONE if ending is Ending.FINISHED else rest

    def release(self) -> bytes:
        """What was kept back of the events that came."""
        rest = self._filter.end() if self._filter is not None else b""
        if rest:
            self._note(rest)
        return rest

    def ending(self) -> Ending:
        """How the stream would have ended if it ended now."""
        lines = [line[5:] for line in b"".join(self._tail).splitlines() if line.startswith(b"data:")]
        last = [line for line in lines[-_TAIL:] if line.strip() != b"[DONE]"]
        if last and _is_error(last[-1]):
            return Ending.ERROR
        if self.done:
            return Ending.DONE
        return Ending.FINISHED if any(map(_FINISHED.search, last)) else Ending.EARLY

    def usage(self) -> TokenUsage | None:
        """The usage that the stream reported, if it did."""
        return usage_of_events(self._usage) if self._usage else None


def _is_error(data: bytes) -> bool:
    if b'"error"' not in data:
        return False
    try:
        error = _event.decode(data).get("error")
    except msgspec.DecodeError:
        return False
    return error is not None and bytes(error) != b"null"
