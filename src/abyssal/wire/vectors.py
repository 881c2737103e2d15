"""The vectors of an answer as a client asks for them: numbers or base64 of float32, shortened or not.

Source: OpenAI API, "The embedding object", `encoding_format`. Pure: bytes and values in and out.
"""

from __future__ import annotations

import re
import struct
from binascii import b2a_base64
from collections.abc import Sequence
from math import hypot
from typing import Any

import msgspec

from abyssal.wire.embedding_request import Encoding
from abyssal.wire.embeddings import floats_of

_FIRST = re.compile(rb'"embedding"\s*:\s*(["\[])')


class _AnyAnswer(msgspec.Struct):
    data: list[dict[str, msgspec.Raw]]


_data = msgspec.json.Decoder(_AnyAnswer)
_vector: msgspec.json.Decoder[str | list[float]] = msgspec.json.Decoder(str | list[float])
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_NONE = msgspec.Raw(b"[]")


def packed(vector: Sequence[float]) -> str:
    """`vector` as base64 of little-endian float32. Raises ValueError for numbers beyond that."""
    try:
        data = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError:
        raise ValueError("a number is beyond float32") from None
    return b2a_base64(data, newline=False).decode()


def shortened(vector: Sequence[float], dimensions: int) -> Sequence[float]:
    """The first `dimensions` numbers, made a unit vector again; `vector` itself where it has no more."""
    if len(vector) <= dimensions:
        return vector
    kept = vector[:dimensions]
    length = hypot(*kept)
    return [value / length for value in kept] if length else kept


def encoding_in(answer: bytes) -> Encoding | None:
    """How the first vector of `answer`, or of the beginning of one, is written; None when none is there."""
    found = _FIRST.search(answer)
    if found is None:
        return None
    return "base64" if found[1] == b'"' else "float"


def as_asked(answer: bytes, encoding: Encoding, dimensions: int | None) -> bytes:
    """`answer` (JSON) with its vectors in `encoding`, of at most `dimensions` numbers; all else as it was.

    Raises ValueError, of which msgspec.DecodeError is one, when it is no list of vectors.
    """
    items: list[dict[str, Any]] = []
    for item in _data.decode(answer).data:
        vector = _vector_of(item.get("embedding", _NONE))
        if dimensions is not None:
            vector = shortened(vector, dimensions)
        item.pop("encoding_format", None)  # some say how it was written
        items.append({**item, "embedding": packed(vector) if encoding == "base64" else vector})
    return _encode({**_top_level.decode(answer), "data": items})


def _vector_of(written: msgspec.Raw) -> Sequence[float]:
    given = _vector.decode(written)
    return floats_of(given) if isinstance(given, str) else given
