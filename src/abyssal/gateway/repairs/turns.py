"""An assistant's turn as a key: the same for what a service said and for what a client sends back of it.

1. Content is its text: null, "" and no parts are the same; the texts of parts are joined.
2. A call is its function's name and its arguments, read as JSON where they are, so that one who wrote them
   anew is understood. Ids are left out: some clients make their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def turn_digest(content: Any, calls: Iterable[tuple[str, str]]) -> bytes:
    """16 bytes that name a turn. `content` as JSON gives it; `calls` are (name, arguments)."""
    state = blake2b(_text(content).encode("utf-8", "surrogatepass"), digest_size=16)
    for name, arguments in calls:
        state.update(b"\0" + _encode([name, _plain(arguments)]))
    return state.digest()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[Any] = [part.get("text") for part in content if isinstance(part, dict)]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return "".join(text for text in texts if isinstance(text, str))


def _plain(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
