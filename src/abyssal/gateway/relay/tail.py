"""The end of an answer too large to be held: `usage` is there. Pure: bytes and bytes."""

from __future__ import annotations

import json

import msgspec

from abyssal.wire.usage import TokenUsage

_KEPT = 8 * 1024  # bytes; a usage object has some hundreds
_KEY = '"usage"'

_decoder = json.JSONDecoder()


class AnswerTail:
    """Keeps the last bytes of a body that passes by."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = b""

    def take(self, data: bytes) -> None:
        """More of the body."""
        self._bytes = data[-_KEPT:] if len(data) >= _KEPT else (self._bytes + data)[-_KEPT:]

    def usage(self) -> TokenUsage | None:
        """The last `usage` object in what was kept; None when there is none that makes sense.

        A quoted one inside a string cannot be taken for it: its quotes are escaped.
        """
        text = self._bytes.decode(errors="replace")
        _, found, rest = text.rpartition(_KEY)
        if not found:
            return None
        start = rest.lstrip().removeprefix(":").lstrip()
        try:
            value, _ = _decoder.raw_decode(start)
            return msgspec.convert(value, TokenUsage)
        except (ValueError, RecursionError):  # of msgspec's errors ValidationError is one
            return None
