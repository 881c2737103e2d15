"""Answers taken apart and put together again, for repairs that must look into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from abyssal.wire.official_stream import split_events

Fields = dict[str, Any]

_DONE = b"[DONE]"
_object = msgspec.json.Decoder(Fields)
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


def fields_of(payload: bytes) -> Fields | None:
    """A JSON object as plain values; None when it is something else."""
    try:
        return _object.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return None


def fields_of_value(value: Any) -> Fields:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def choices_of(fields: Fields, part: str) -> Iterator[tuple[Fields, Fields]]:
    """Each choice, and its `message` or `delta`; what is not of that form is passed over."""
    choices = fields.get("choices")
    if isinstance(choices, list):
        for item in choices:  # pyright: ignore[reportUnknownVariableType]
            choice = fields_of_value(item)
            if isinstance(choice.get(part), dict):
                yield choice, choice[part]


class Rewriter:
    """A repair that changes choices one at a time. It looks into the pieces that have `needle` in them."""

    __slots__ = ()

    needle = b""

    def rewrite(self, choice: Fields, said: Fields, *, whole: bool) -> bool:
        """Change `choice`, of which `said` is the message (`whole`) or delta, in place; whether it did."""
        raise NotImplementedError

    def answer(self, body: bytes) -> bytes:
        """A whole answer, JSON."""
        if self.needle not in body:
            return body
        fields = fields_of(body)
        if fields is None:
            return body
        changed = [self.rewrite(*choice, whole=True) for choice in choices_of(fields, "message")]
        return _encode(fields) if any(changed) else body

    def feed(self, events: bytes) -> bytes:
        """Whole events of a stream."""
        if self.needle not in events:
            return events
        return b"".join(self._event(event) for event in split_events(events))

    def end(self) -> bytes:
        """Nothing is kept back."""
        return b""

    def _event(self, event: bytes) -> bytes:
        data = event.strip()
        if self.needle not in data or not data.startswith(b"data:"):
            return event
        fields = fields_of(data[5:])
        if fields is None:
            return event
        changed = [self.rewrite(*choice, whole=False) for choice in choices_of(fields, "delta")]
        return as_event(fields) if any(changed) else event
