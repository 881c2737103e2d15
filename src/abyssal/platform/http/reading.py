"""Reads a request to the control process: who the data plane says is asking, its query, its body. Bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from abyssal.platform.identity.idempotency import HEADER, check_key
from abyssal.platform.identity.transaction import Proof
from abyssal.stores.rights import BITS, mask_of
from abyssal.wire.errors import BadRequestError, PayloadTooLargeError, UnsupportedMediaTypeError
from abyssal.wire.guard import check_text

MOST_BYTES = 256 * 1024  # the longest lists that a body may have fit twice
_LONGEST_VALUE = 400  # characters of a query parameter

_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<key>key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `(.+)`", re.DOTALL)
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}


def read_proof(headers: Headers) -> Proof | None:
    """What the worker found out; it lets nobody else set these headers. None: it proved nobody."""
    credential = headers.get("x-abyssal-credential", "")
    if not credential:
        return None
    scopes = headers.get("x-abyssal-scopes", "").split()
    return Proof(credential, mask_of(scope for scope in scopes if scope in BITS))


def read_query(query: QueryParams, allowed: tuple[str, ...]) -> dict[str, str]:
    """The parameters. Raises BadRequestError for one that the route does not take, or that is there twice."""
    found: dict[str, str] = {}
    for name, value in query.multi_items():
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise BadRequestError(
                f"There is no query parameter {name[:40]!r} here; there are: {known}.",
                param=name[:40],
                code="unknown_field",
            )
        if name in found or len(value) > _LONGEST_VALUE:
            raise BadRequestError(
                f'"{name}" is there twice, or too long; send it once.', param=name, code="invalid_value"
            )
        found[name] = value
    return found


def read_idempotency_key(headers: Headers) -> str | None:
    """The key, None for none. Raises BadRequestError when it is malformed, or there are two."""
    keys = headers.getlist(HEADER)
    if not keys:
        return None
    check_key(keys[0] if len(keys) == 1 else "")
    return keys[0]


async def read_bytes(request: Request) -> bytes:
    """The body. Raises PayloadTooLargeError over MOST_BYTES, UnsupportedMediaTypeError when it is coded."""
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError(
            f"The content coding {coding[:40]!r} is not taken here; send the body as it is."
        )
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise PayloadTooLargeError(f"The body is over {MOST_BYTES} bytes; no object here is that large.")
    return bytes(body)


def read_body(body: bytes, kind: type[msgspec.Struct] | None) -> Any:
    """The body as `kind`; an empty one is an empty object. Raises BadRequestError that names the field."""
    if kind is None:
        return None
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    check_text(body)
    try:
        return decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        _refuse(str(error), kind.__struct_encode_fields__)
    except msgspec.DecodeError as error:
        raise BadRequestError(
            f"The body is not JSON: {error}; send one JSON object.", code="invalid_json"
        ) from None


def _refuse(text: str, known: tuple[str, ...]) -> NoReturn:
    found = _AT.match(text)
    problem, path = (found["problem"], found["path"] or "") if found else (text, "")
    field = _FIELD.search(problem)
    if field is not None:
        name = field[1][:40]
        if "missing required" in problem:
            raise BadRequestError(f'"{name}" is missing; it is required.', param=name, code="missing_field")
        raise BadRequestError(
            f"There is no field {name!r} here; there are: {', '.join(known) or 'none'}.",
            param=name,
            code="unknown_field",
        )
    if not path:
        raise BadRequestError(f"The body must be a JSON object: {problem}.", code="invalid_json")
    raise BadRequestError(f'"{path}": {problem[0].lower()}{problem[1:]}.', param=path, code="invalid_value")


def parameters(path: Mapping[str, Any]) -> str:
    """The id in the path, "" for none."""
    return str(path.get("id", ""))
