"""An answer of JSON Lines, read: bytes in, however they were cut, values out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from abyssal.client.faults import OpenAICompatibilityError
from abyssal.wire.errors import ProtocolError

T = TypeVar("T")

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A line longer than this is not one."""


class LineReader(Generic[T]):
    """Reads lines by `decode`, which may raise msgspec.DecodeError; blank ones are passed over."""

    __slots__ = ("_decode", "_held")

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        self._decode = decode
        self._held = b""

    def feed(self, data: bytes) -> list[T]:
        """The values whose lines end in `data`; b"" is the end of all bytes, and of the last line.

        Raises ProtocolError for a line that is none.
        """
        lines = (self._held + data).split(b"\n")
        self._held = b"" if not data else lines.pop()
        if len(self._held) > MAX_LINE_BYTES:
            raise ProtocolError(f"A line of the answer is longer than {MAX_LINE_BYTES} bytes.")
        try:
            return [self._decode(line) for line in lines if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OpenAICompatibilityError(f"A line of the answer is none of an export: {error}.") from None
