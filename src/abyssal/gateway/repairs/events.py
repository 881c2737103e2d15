"""Whole server-sent events as chunks, for repairs that must look into a stream."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_DONE = b"[DONE]"
_encode = msgspec.json.Encoder().encode


def payloads(events: bytes) -> Iterator[bytes]:
    """The JSON of each `data` line; `[DONE]` is none."""
    for line in events.splitlines():
        if line.startswith(b"data:"):
            payload = line[5:].strip()
            if payload != _DONE:
                yield payload


def as_event(chunk: object) -> bytes:
    """A chunk as an event."""
    return b"data: %b\n\n" % _encode(chunk)
