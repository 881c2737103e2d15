"""Embeddings in OpenAI's shape: vectors made of their input alone, so that a test can say what to expect."""

from __future__ import annotations

import hashlib
import math
from typing import Any, cast

from abyssal.testing.completions import estimated_tokens
from abyssal.testing.received import ReceivedRequest
from abyssal.wire.vectors import packed

DIMENSIONS = 16


def embedding_of(given: str | list[int], dimensions: int = DIMENSIONS) -> list[float]:
    """The unit vector of a text or of tokens: always the same, and like no other's. At most 64 dimensions."""
    digest = hashlib.shake_128(repr(given).encode()).digest(2 * dimensions)
    numbers = [int.from_bytes(digest[at : at + 2], "little") - 32768 for at in range(0, len(digest), 2)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def embedding_list(
    request: ReceivedRequest, *, base64: bool = True, dimensions: bool = True
) -> dict[str, Any]:
    """A whole answer. Without `base64` or `dimensions` the server does not know these fields."""
    fields = request.fields
    inputs = _inputs(fields.get("input"))
    size = fields.get("dimensions") if dimensions else None
    vectors = [embedding_of(item, size if isinstance(size, int) else DIMENSIONS) for item in inputs]
    written = [
        packed(vector) if base64 and fields.get("encoding_format") == "base64" else vector
        for vector in vectors
    ]
    tokens = sum(estimated_tokens(item) if isinstance(item, str) else len(item) for item in inputs)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(written)
        ],
        "model": fields.get("model", "unnamed"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _inputs(given: Any) -> list[str | list[int]]:
    if not isinstance(given, list):
        return [str(given)]
    items = cast("list[Any]", given)
    return [items] if items and isinstance(items[0], int) else items
