"""Embeddings as typed values, and the compact form in which their numbers may travel.

Source: OpenAI API, "Create embeddings". `encoding_format: "base64"` is the numbers as 32-bit floats, little
end first, one after another, in base64: a third of the bytes of JSON numbers, and no parsing of decimals.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from collections.abc import Iterator

import msgspec
from msgspec import field

from abyssal.wire.chat import Answer, Usage


class Embedding(Answer, frozen=True):
    """One text's vector; `index` is the text's place in the request's `input`."""

    embedding: list[float]
    index: int = field(default_factory=int)
    object: str = field(default_factory=lambda: "embedding")


class EmbeddingList(Answer, frozen=True):
    """The vectors in the order of the request's `input`; also an iterable of them."""

    data: list[Embedding]
    model: str = ""
    object: str = field(default_factory=lambda: "list")
    usage: Usage | None = None
    request_id: str | None = None

    def __iter__(self) -> Iterator[Embedding]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class _Sent(msgspec.Struct):
    embedding: list[float] | str
    index: int = 0


class _SentList(msgspec.Struct):
    data: list[_Sent]
    model: str = ""
    usage: Usage | None = None


_decoder = msgspec.json.Decoder(_SentList)


def decode_embeddings(content: bytes) -> EmbeddingList:
    """The answer in `content` (JSON), its vectors as numbers or in base64.

    Raises msgspec.DecodeError when it is none.
    """
    sent = _decoder.decode(content)
    data = [
        Embedding(floats_of(one.embedding) if isinstance(one.embedding, str) else one.embedding, one.index)
        for one in sent.data
    ]
    data.sort(key=_place)
    return EmbeddingList(data, sent.model, usage=sent.usage)


def floats_of(text: str) -> list[float]:
    """The numbers in `text` (see the module). Raises msgspec.DecodeError."""
    numbers = array("f")
    try:
        numbers.frombytes(binascii.a2b_base64(text, strict_mode=True))
    except ValueError as error:
        raise msgspec.DecodeError(f"an embedding is no base64 of 32-bit floats: {error}") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _place(embedding: Embedding) -> int:
    return embedding.index
