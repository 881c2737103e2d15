"""Which part of some content a request asks for (RFC 9110 §14): what cannot be understood was not asked."""

from __future__ import annotations

import re

from abyssal.wire.errors import BadRequestError

MOST = 100  # ranges at once

_RANGES = re.compile(
    r"bytes=[ \t]*(?:[0-9]+-[0-9]*|-[0-9]+)(?:[ \t]*,[ \t]*(?:[0-9]+-[0-9]*|-[0-9]+))*[ \t]*"
)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")


def is_heeded(asked: str, size: int) -> bool:
    """Whether the Range field `asked` counts for content of `size` bytes; if not, all of it is to be sent.

    Raises BadRequestError (416) where it counts and no range has a byte of the content.
    """
    if _RANGES.fullmatch(asked) is None or asked.count(",") >= MOST:
        return False
    pairs: list[tuple[str, str]] = _RANGE.findall(asked.partition("=")[2])
    if any(first and last and int(last) < int(first) for first, last in pairs):
        return False
    there = [int(first) < size if first else int(last) > 0 for first, last in pairs]
    if any(there):
        return all(there)  # who asks for what there is not gets all of it rather than a selection
    raise BadRequestError(
        f"There are {size} bytes, and none of them is in the range asked for; ask for bytes before that.",
        status=416,
        code="range_not_satisfiable",
    )
