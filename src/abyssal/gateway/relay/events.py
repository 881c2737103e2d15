"""What must be known of a stream while it passes: whole events, how many, and its end. Pure: bytes and bytes.

Nothing here parses an event that it does not have to: the end of the stream is kept and read once.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from abyssal.gateway.upstreams.upstream import StreamFilter
from abyssal.wire.official_stream import whole_events
from abyssal.wire.usage import TokenUsage, usage_of_events

DONE = b"data: [DONE]\n\n"
_MOST_PARTIAL = 512 * 1024

_event = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Ending(Enum):
    """How a stream ended."""

    DONE = "it said [DONE]"
    FINISHED = "it gave a finish_reason, and no [DONE]"
    ERROR = "it sent an error event"
    EARLY = "it ended before its answer was complete"


class EventStream:
    """One stream on its way. `count` is the number of data events so far."""

    __slots__ = ("_before", "_filter", "_last", "_partial", "_usage", "count", "done")

    def __init__(self, stream_filter: StreamFilter | None) -> None:
        self._filter = stream_filter
        self._partial: bytes = b""
        self._before: bytes = b""  # the piece before the last
        self._last: bytes = b""
        self._usage: bytes = b""  # the last piece that spoke of usage
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
        if self._filter is not None and data:
            data = self._filter.feed(data)
        if data:
            self.count += data.count(b"data:")
            self._before, self._last = self._last, data
            if b'"usage"' in data:
                self._usage = data
            if data.endswith(b"[DONE]\n\n"):
                self.done = True
        return data

    def end(self) -> tuple[Ending, bytes]:
        """How the stream ended, and what is still to be sent of it."""
        rest = self._filter.end() if self._filter is not None else b""
        if rest:
            self._before, self._last = self._last, rest
        if self._partial.strip() in (b"data: [DONE]", b"data:[DONE]"):
            self.done = True
            return Ending.DONE, rest + DONE
        tail = self._before + self._last
        if self.done or tail.rstrip().endswith(b"[DONE]"):
            return Ending.DONE, rest
        if _last_is_error(tail):
            return Ending.ERROR, rest
        if b'"finish_reason":"' in tail or b'"finish_reason": "' in tail:
            return Ending.FINISHED, rest + DONE
        return Ending.EARLY, rest

    def usage(self) -> TokenUsage | None:
        """The usage that the stream reported, if it did."""
        return usage_of_events(self._usage) if self._usage else None


def _last_is_error(tail: bytes) -> bool:
    if b'"error"' not in tail:
        return False
    for line in reversed(tail.splitlines()):
        if line.startswith(b"data:"):
            try:
                return "error" in _event.decode(line[5:])
            except msgspec.DecodeError:
                return False
    return False
