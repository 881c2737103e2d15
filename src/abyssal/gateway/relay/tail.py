"""Both ends of an answer too large to be held: `usage` is at one of them. Pure: bytes and bytes."""

from __future__ import annotations

import json

import msgspec

from abyssal.wire.usage import TokenUsage

_KEPT = 8 * 1024  # bytes; a usage object has some hundreds
_KEY = '"usage"'

_decoder = json.JSONDecoder()


class AnswerTail:
    """Keeps the last bytes of a body that passes by, and the first: llama.cpp puts usage before vectors."""

    __slots__ = ("_beginning", "_bytes")

    def __init__(self) -> None:
        self._beginning = b""
        self._bytes = b""

    def take(self, data: bytes) -> None:
        """More of the body."""
        if not self._beginning:
            self._beginning = data[:_KEPT]
        self._bytes = data[-_KEPT:] if len(data) >= _KEPT else (self._bytes + data)[-_KEPT:]

    def usage(self) -> TokenUsage | None:
        """The last `usage` object in what was kept; None when there is none that makes sense.

        A quoted one inside a string cannot be taken for it: its quotes are escaped.
        """
        return _last_usage(self._bytes) or _last_usage(self._beginning)


def _last_usage(piece: bytes) -> TokenUsage | None:
    _, found, rest = piece.decode(errors="replace").rpartition(_KEY)
    if not found:
        return None
    start = rest.lstrip().removeprefix(":").lstrip()
    try:
        value, _ = _decoder.raw_decode(start)
        return msgspec.convert(value, TokenUsage)
    except (ValueError, RecursionError):  # of msgspec's errors ValidationError is one
        return None
