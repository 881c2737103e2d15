"""What may be asked of embeddings: the arguments of `embeddings.create`.

Source: OpenAI API, "Create embeddings", and the platform's specification, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Required

from abyssal.client.params import CallOptions, request_body


class EmbeddingParams(CallOptions, total=False):
    """All arguments."""

    model: Required[str]
    input: Required[str | Sequence[str]]
    """One text, or several; the answer has a vector for each."""
    dimensions: int | None
    """How long a vector shall be, where the model can make shorter ones."""
    encoding_format: Literal["float", "base64"] | None
    """How the numbers travel; they come as floats either way. None is base64, which is smaller and faster."""
    user: str | None
    user_id: str | None
    extra_body: Mapping[str, object] | None
    """Further fields of the body, or others in place of the above."""


_KNOWN = frozenset(EmbeddingParams.__annotations__)


def embedding_body(params: EmbeddingParams) -> dict[str, object]:
    """The request's body. Raises TypeError for arguments that do not exist, and for missing ones."""
    body = request_body("create", params, _KNOWN, ("model", "input"))
    body.setdefault("encoding_format", "base64")
    return body
