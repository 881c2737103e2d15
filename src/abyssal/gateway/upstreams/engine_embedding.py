"""What the embedded engine is asked for embeddings, and what its refusals of them mean.

1. An input that is longer than the engine takes at once is refused, here as far as its bytes tell and by the
   engine, which counts tokens and calls it its own fault.
2. So is a run of one kind of character that would exhaust a stack, as in a chat.
3. Vectors that must be shortened are asked for in base64: a quarter of the bytes, and none is rounded.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from abyssal.config import EngineUpstream
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.link import EmbeddingPoint
from abyssal.gateway.upstreams.engine_request import BYTES_PER_TOKEN, check_runs
from abyssal.gateway.upstreams.pool import Address
from abyssal.gateway.upstreams.upstream import Upstream
from abyssal.wire.embedding_request import EmbeddingRequest
from abyssal.wire.errors import BadRequestError

_TOO_LONG = re.compile(rb"input \((\d+) tokens\) is too large to process")
_encode = msgspec.json.Encoder().encode


class EngineEmbeddings(Upstream):
    """The server for vectors in an engine's process. `capacity` bounds calls at once."""

    def __init__(self, config: EngineUpstream, point: EmbeddingPoint, capacity: int) -> None:
        super().__init__(
            config.name,
            Address(path=point.socket_path),
            base_path="/v1",
            credential=None,
            first_byte_timeout=config.first_byte_timeout,
            idle_timeout=config.idle_timeout,
            capacity=capacity,
            routes={"embeddings": "/v1/embeddings"},
        )
        self._point = point

    def check(self, exchange: Exchange) -> None:
        request = exchange.request
        assert isinstance(request, EmbeddingRequest)
        check_embedding(request, self._point)

    def chat_body(self, exchange: Exchange) -> bytes:
        request = exchange.request
        assert isinstance(request, EmbeddingRequest)
        return embedding_body(request, exchange.upstream_model or request.model)

    def repair_error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return embedding_error(status, body, self._point)


def check_embedding(request: EmbeddingRequest, limits: EmbeddingPoint) -> None:
    """Raise BadRequestError for what the engine cannot embed or would choke on."""
    if request.dimensions is not None and request.dimensions > limits.dimensions:
        raise BadRequestError(
            f'"dimensions": {request.dimensions}, but the vectors of "{request.model}" have '
            f"{limits.dimensions}; ask for that many or fewer.",
            param="dimensions",
            code="invalid_value",
        )
    several = isinstance(request.input, list) and not isinstance(request.input[0], int)
    for index, item in enumerate(request.inputs()):
        where = f"input[{index}]" if several else "input"
        if isinstance(item, str):
            if len(item.encode()) > limits.tokens * BYTES_PER_TOKEN:
                raise _too_long(where, f"has {len(item.encode())} bytes", limits.tokens)
            check_runs(item, where)
        elif len(item) > limits.tokens:
            raise _too_long(where, f"has {len(item)} tokens", limits.tokens)


def embedding_body(request: EmbeddingRequest, model: str) -> bytes:
    """The body for the engine."""
    fields: dict[str, Any] = {"model": model, "input": request.input}
    if request.encoding == "base64" or request.dimensions is not None:
        fields["encoding_format"] = "base64"
    return _encode(fields)


def embedding_error(status: int, body: bytes, limits: EmbeddingPoint) -> tuple[int, bytes]:
    """An error answer of the engine, as (status, body); the caller's fault where it is that."""
    found = _TOO_LONG.search(body)
    if found is None:
        return status, body
    error = _too_long("input", f"has an input of {found[1].decode()} tokens", limits.tokens)
    return error.status_code, error.as_json()


def _too_long(where: str, what: str, tokens: int) -> BadRequestError:
    return BadRequestError(
        f'"{where}" {what}, and this model embeds at most {tokens} tokens at once; send it in parts.',
        param=where,
        code="context_length_exceeded",
    )
