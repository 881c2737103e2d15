"""Recognises an HTTP/1.1 head that was judged before and differs in nothing but its Content-Length.

A keep-alive peer sends the same head over and over. Comparing bytes in C and reading one number is all
that is left to do for the second and later ones; anything else goes the long way again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

Judged = TypeVar("Judged")

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_MOST_DIGITS = 9
_MOST_HEAD = 8192
_REST = 64


class HeadMemory(Generic[Judged]):
    """The last head of a connection, with a gap for the number. `judged` is what the long way found out.

    A peer whose heads always differ is not worth the effort: after a head that was never seen again,
    the next `_REST` are not remembered.
    """

    __slots__ = ("_hits", "_prefix", "_prefix_length", "_rest", "_suffix", "_suffix_length", "judged")

    def __init__(self) -> None:
        self._prefix = self._suffix = b""
        self._prefix_length = self._suffix_length = 0
        self._hits = self._rest = 0
        self.judged: Judged | None = None

    def match(self, data: bytes) -> tuple[int, int] | None:
        """(the length that is announced, where the body starts) when `data` begins with the known head."""
        start = self._prefix_length
        if data.startswith(self._prefix):
            end = data.find(b"\r", start, start + _MOST_DIGITS + 1)
            if end > start and data.startswith(self._suffix, end):
                digits = data[start:end]
                if digits.isdigit():
                    self._hits += 1
                    return int(digits), end + self._suffix_length
        self._rest = 0 if self._hits else _REST
        self.judged = None
        return None

    def learn(self, message: bytes, length: int, judge: Callable[[], Judged]) -> None:
        """Remember the head of a whole `message` whose body has `length` bytes, if it is that simple."""
        if self._rest:
            self._rest -= 1
            return
        head_length = len(message) - length
        head = message[:head_length]
        if head_length > _MOST_HEAD or head.find(b"\r\n\r\n") != head_length - 4:
            return
        found = _LENGTH.search(head)
        if found is None or int(found[1]) != length or b"\r\ntransfer-encoding:" in head.lower():
            return
        self._prefix, self._suffix = head[: found.start(1)], head[found.end(1) :]
        self._prefix_length, self._suffix_length = len(self._prefix), len(self._suffix)
        self._hits = 0
        self.judged = judge()
