"""A request to an endpoint of a table, in its transaction: read, answered once, its answer kept.

It knows no table and no rule: whose the transaction is and what it may was settled before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from starlette.requests import Request

from abyssal.platform.http.reading import parameters, read_body, read_idempotency_key, read_query
from abyssal.platform.identity.idempotency import Answer, Turn, answered_before, keep_answer

_encoder = msgspec.json.Encoder()


class Asked(msgspec.Struct, frozen=True):
    """A request, decoded: the id in its path ("" for none), its query, its body (None for none)."""

    id: str
    query: Mapping[str, str]
    body: Any


class Shape(Protocol):
    """What an endpoint takes, and the status of its answer."""

    @property
    def query(self) -> tuple[str, ...]: ...
    @property
    def body(self) -> type[msgspec.Struct] | None: ...
    @property
    def status(self) -> int: ...
    @property
    def repeatable(self) -> bool: ...


def answer_once(
    turn: Turn, shape: Shape, request: Request, body: bytes, handle: Callable[[Asked], msgspec.Struct]
) -> Answer:
    """What `handle` makes of the request; under an idempotency key that was answered before, that answer.

    Raises ApiError for what cannot be read, and whatever `handle` raises.
    """
    asked = Asked(
        parameters(request.path_params),
        read_query(request.query_params, shape.query),
        read_body(body, shape.body),
    )
    key = read_idempotency_key(request.headers) if shape.repeatable else None
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    if key is not None:
        before = answered_before(turn, key, digest)
        if before is not None:
            return before
    answer = Answer(shape.status, _encoder.encode(handle(asked)))
    if key is not None:
        keep_answer(turn, key, digest, answer)
    return answer
