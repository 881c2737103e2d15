"""Turns an OpenAI-style chat stream into the official DeepSeek one: `usage` rides on the finishing chunk.

Source: the official service sends usage on the chunk that has a `finish_reason`, whatever
`include_usage` says; OpenAI-style servers send it afterwards, in a chunk whose `choices` is empty.

1. Events pass untouched until one finishes a choice; only that one is held.
2. A usage chunk that follows is folded into the held chunk and swallowed.
3. Anything else that follows lets the held chunk go as it was; if that is the end of the stream, with what
   `missing` says of it, where it says anything.
4. With `renames`, reasoning under its newer name gets the official one (`reasoning_field`). Reasoning comes
   first: when the first `_LOOKED_AT` pieces have none, no later one is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import msgspec

from abyssal.wire.reasoning_field import with_official_reasoning

_LOOKED_AT = 8
_BLANK_LINE = re.compile(rb"\n\r?\n")  # a blank line and the end of the line before it
_FINISHING = (b'"finish_reason":"', b'"finish_reason": "')

_chunk = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class UsageFolder:
    """The state of one stream. `feed` takes whole events (bytes that end an event) and gives whole events."""

    __slots__ = ("_held", "_looks", "_missing")

    def __init__(self, missing: Callable[[int], msgspec.Raw] | None = None, *, renames: bool = False) -> None:
        self._missing = missing
        self._looks = _LOOKED_AT if renames else 0  # pieces that are still to be looked at; below 0: all
        self._held: dict[str, msgspec.Raw] | None = None

    def feed(self, events: bytes) -> bytes:
        """What of `events` may be sent now."""
        if self._looks:
            events = self._renamed(events)
        if self._held is None and not _finishes(events):
            return events
        out: list[bytes] = []
        for event in split_events(events):
            self._take(event, out)
        return b"".join(out)

    def _renamed(self, events: bytes) -> bytes:
        renamed = with_official_reasoning(events)
        if renamed is not events:
            self._looks = -1
        elif self._looks > 0:
            self._looks -= 1
        return renamed

    def end(self) -> bytes:
        """What is still held when the stream is over."""
        out: list[bytes] = []
        self._let_go(out, last=True)
        return b"".join(out)

    def fold(self, usage: msgspec.Raw) -> msgspec.Raw:
        """The usage as the finishing chunk gets it; as it came, unless a kind knows better."""
        return usage

    def _take(self, event: bytes, out: list[bytes]) -> None:
        data = event.strip()
        chunk = _decode(data[5:]) if data.startswith(b"data:") else None
        if chunk is None:  # a comment, [DONE], or nothing we know
            if not data.startswith(b":") or b"\ndata:" in data:
                self._let_go(out, last=True)
            out.append(event)
            return
        usage = chunk.get("usage")
        has_usage = usage is not None and bytes(usage) != b"null"
        if self._held is not None and has_usage and bytes(chunk.get("choices", b"")).strip() == b"[]":
            assert usage is not None
            self._held["usage"] = self.fold(usage)
            self._let_go(out)
            return
        self._let_go(out)
        if not has_usage and _finishes(event):
            self._held = chunk
        else:
            out.append(event)

    def _let_go(self, out: list[bytes], *, last: bool = False) -> None:
        if self._held is not None:
            if last and self._missing is not None:
                self._held["usage"] = self._missing(len(out) + 1)
            out.append(b"data: " + _encode(self._held) + b"\n\n")
            self._held = None


def _finishes(events: bytes) -> bool:
    """Whether one of `events` seems to finish a choice. `rfind` takes half as long as `in`."""
    return events.rfind(_FINISHING[0]) >= 0 or events.rfind(_FINISHING[1]) >= 0


def _decode(data: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        decoded = _chunk.decode(data)
    except msgspec.DecodeError:
        return None
    return {key: value.copy() for key, value in decoded.items()}


def split_events(events: bytes) -> list[bytes]:
    """Whole events (each with its blank line) of `events`."""
    ends = [0, *(found.end() for found in _BLANK_LINE.finditer(events)), len(events)]
    return [events[start:end] for start, end in pairwise(ends) if start < end]


def whole_events(data: bytes) -> int:
    """The number of bytes at the start of `data` that are whole events; 0 when no event ends in it."""
    if data.endswith((b"\n\n", b"\n\r\n")):
        return len(data)
    line_feeds, both = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
    return max(line_feeds + 2 if line_feeds >= 0 else 0, both + 3 if both >= 0 else 0)
