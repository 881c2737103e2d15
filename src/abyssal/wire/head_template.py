"""Recognises an HTTP/1.1 head that was judged before and differs in nothing but its Content-Length.

A keep-alive peer sends the same head over and over. Comparing bytes in C and reading one number is all
that is left to do for the second and later ones; anything else goes the long way again. Where one
connection carries the calls of many (a proxy's), the credential after `Bearer` may differ too.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

Judged = TypeVar("Judged")

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_BEARER = re.compile(rb"\r\nauthorization: *(Bearer +[!-~]+)\r\n", re.IGNORECASE)
_CREDENTIAL = re.compile(rb"Bearer [!-~]{1,512}\Z", re.IGNORECASE)
_MOST_DIGITS = 9
_MOST_CREDENTIAL = 520
_MOST_HEAD = 8192
_REST = 64


class HeadMemory(Generic[Judged]):
    """The last head of a connection, with a gap for the number. `judged` is what the long way found out.

    A peer whose heads always differ is not worth the effort: after a head that was never seen again,
    the next `_REST` are not remembered.
    """

    __slots__ = (
        "_credential_first", "_hits", "_middle", "_outer_prefix", "_outer_suffix", "_prefix",
        "_prefix_length", "_rest", "_suffix", "_suffix_length", "judged",
    )  # fmt: skip

    def __init__(self) -> None:
        self._prefix = self._suffix = b""
        self._prefix_length = self._suffix_length = 0
        # The same head with a second gap: outer prefix, gap, middle, gap, outer suffix.
        self._outer_prefix = self._middle = self._outer_suffix = b""
        self._credential_first = False
        self._hits = self._rest = 0
        self.judged: Judged | None = None

    def match(self, data: bytes) -> tuple[int, int, bytes | None] | None:
        """What is announced when `data` begins with the known head: (length, where the body starts, None).

        Instead of None: the Authorization field's value, where that is another than the known head's.
        """
        start = self._prefix_length
        if data.startswith(self._prefix):
            end = data.find(b"\r", start, start + _MOST_DIGITS + 1)
            if end > start and data.startswith(self._suffix, end):
                digits = data[start:end]
                if digits.isdigit():
                    self._hits += 1
                    return int(digits), end + self._suffix_length, None
        found = self._match_other(data) if self._outer_prefix else None
        if found is None:
            self._rest = 0 if self._hits else _REST
            self.judged = None
        else:
            self._hits += 1
        return found

    def _match_other(self, data: bytes) -> tuple[int, int, bytes] | None:
        """As `match`, with any credential in its place."""
        start = len(self._outer_prefix)
        if not data.startswith(self._outer_prefix):
            return None
        end = data.find(b"\r", start, start + _MOST_CREDENTIAL)
        if end < 0 or not data.startswith(self._middle, end):
            return None
        first, start = data[start:end], end + len(self._middle)
        end = data.find(b"\r", start, start + _MOST_CREDENTIAL)
        if end < 0 or not data.startswith(self._outer_suffix, end):
            return None
        second = data[start:end]
        credential, digits = (first, second) if self._credential_first else (second, first)
        if len(digits) > _MOST_DIGITS or not digits.isdigit() or not _CREDENTIAL.match(credential):
            return None
        return int(digits), end + len(self._outer_suffix), credential

    def learn(self, message: bytes, length: int, judged: Judged) -> None:
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
        self._outer_prefix = b""
        bearer = _BEARER.search(head)
        if bearer is not None:
            self._credential_first = bearer.start() < found.start()
            before, after = sorted((bearer.span(1), found.span(1)))
            self._outer_prefix = head[: before[0]]
            self._middle, self._outer_suffix = head[before[1] : after[0]], head[after[1] :]
        self._hits = 0
        self.judged = judged
