"""The OpenAPI 3.1 document, made from the table of operations and the types that it names.

1. Every answer has `x-request-id` and `x-api-version`; an answer to HEAD is that to GET without its body.
2. A stream is described by what the data of its events is (`x-event`): OpenAPI 3.1 has no words for it.
3. Errors that an operation shares with others stand once, under `components/responses`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from abyssal import __version__
from abyssal.contract.components import Components
from abyssal.contract.operation import EVENTS, Answer, Body, Operation, Parameter
from abyssal.contract.operations import OPERATIONS, TAGS
from abyssal.contract.security import SCHEMES, WAYS
from abyssal.wire.errors import ErrorBody

EVERY = (400, 408, 431, 500, 503)
"""What every operation can answer with."""
PROVED = (401, 403, 429)
"""What every operation that asks for a credential can answer with."""

_HEADERS = {
    "x-request-id": "Names the call, also in the usage table and towards the upstream.",
    "x-api-version": "`v1`.",
}
_SAYS = {
    400: "Malformed, or out of range; `param` names the field.",
    401: "No credential, or one that proves nothing.",
    402: "Balance or budget is used up.",
    403: "Known, but without the right to this.",
    404: "There is no such object; another tenant's is the same as none.",
    408: "The request did not arrive in time.",
    409: "The object is in another state than this needs, or in use.",
    413: "The body is too long.",
    415: "The body is of a content type or coding that is not taken here.",
    416: "The range asked for has no byte of the content.",
    426: "This path is a WebSocket; connect with an upgrade.",
    429: "Over a limit; `Retry-After` says how long to wait.",
    431: "Too many header fields, or too long ones.",
    500: "A fault of the platform.",
    502: "The upstream refused, reset, or answered garbage.",
    503: "No upstream is available, or the platform is busy, starting or stopping.",
    504: "The upstream was too slow.",
}
_ABOUT = (
    "A DeepSeek API platform: every DeepSeek dialect, in front of the official service, of self-hosted "
    "upstreams or of its own engine. `HEAD` is taken wherever `GET` is. Another method is answered with 405 "
    "and `Allow`, another path with 404, each with an error object. Bodies may be compressed "
    "(`Content-Encoding`: gzip, deflate or zstd), and so are answers (`Accept-Encoding`: gzip or zstd)."
)


def build_document(operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """The document as JSON values. ValueError when two operations, or two types, are called the same."""
    components = Components(_types(operations))
    shared: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, components, shared)
        if paths.setdefault(operation.path, {}).setdefault(operation.method.lower(), described) != described:
            raise ValueError(f"{operation.method} {operation.path} is there twice")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Abyssal", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": says} for name, says in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "responses": dict(sorted(shared.items())),
            "headers": {
                name: {"description": says, "required": True, "schema": {"type": "string"}}
                for name, says in _HEADERS.items()
            },
            "securitySchemes": SCHEMES,
        },
    }


@cache
def document_bytes() -> bytes:
    """The document of this version, JSON; made once."""
    return msgspec.json.encode(build_document())


def statuses(operation: Operation) -> tuple[int, ...]:
    """The statuses of errors that `operation` can answer with."""
    proved = PROVED if operation.scope is not None else ()
    answered = {answer.status for answer in operation.answers}
    return tuple(sorted({*EVERY, *proved, *operation.errors} - answered))


def _types(operations: Iterable[Operation]) -> Iterable[Any]:
    for operation in operations:
        for body in (*operation.bodies, *(body for answer in operation.answers for body in answer.bodies)):
            if body.schema is not None:
                yield body.schema
        yield operation.error
        for parameter in operation.parameters:
            yield parameter.schema
    yield ErrorBody


def _operation(operation: Operation, components: Components, shared: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.says:
        described["description"] = operation.says
    if operation.scope is None:
        described["security"] = []
    else:
        described["security"] = [way(operation.scope) for way in WAYS]
    if operation.parameters:
        described["parameters"] = [_parameter(item, components) for item in operation.parameters]
    if operation.bodies:
        content = {body.media: _media(body, components) for body in operation.bodies}
        if operation.example is not None:
            content[operation.bodies[0].media]["example"] = operation.example
        required = any(body.schema is None or _has_required(body.schema) for body in operation.bodies)
        described["requestBody"] = {"required": required, "content": content}
    described["responses"] = {
        **{str(answer.status): _answer(answer, components) for answer in operation.answers},
        **{
            str(status): _error(status, operation.error, components, shared) for status in statuses(operation)
        },
    }
    described["x-code-samples"] = [
        {"lang": "Shell", "label": "curl", "source": operation.curl_line},
        {"lang": "Python", "label": "Python", "source": operation.python_line},
    ]
    return described


def _has_required(kind: Any) -> bool:
    """Whether a body must be there: where every field may be absent, so may the body."""
    return any(field.required for field in msgspec.structs.fields(kind))


def _parameter(parameter: Parameter, components: Components) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.says,
        "schema": components.of(parameter.schema),
    }
    return described | ({"required": True} if parameter.required else {})


def _media(body: Body, components: Components) -> dict[str, Any]:
    if body.media == EVENTS:
        return {"x-event": components.of(body.schema)}
    if body.schema is None:
        said = {"description": body.says} if body.says else {}
        return {"schema": {"type": "string", "contentMediaType": body.media.partition(";")[0]} | said}
    return {"schema": components.of(body.schema)}


def _answer(answer: Answer, components: Components) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.says, "headers": _headers()}
    if answer.bodies:
        described["content"] = {body.media: _media(body, components) for body in answer.bodies}
    return described


def _error(status: int, kind: Any, components: Components, shared: dict[str, Any]) -> dict[str, Any]:
    name = f"{kind.__name__.removesuffix('Body')}{status}"
    if name not in shared:
        headers = _headers()
        if status in (429, 503):
            headers["retry-after"] = {"description": "Seconds to wait.", "schema": {"type": "string"}}
        if status in (401, 403):
            headers["www-authenticate"] = {
                "description": "How to prove it, and with `error` what was wrong (RFC 6750).",
                "schema": {"type": "string"},
            }
        content = {"application/json": {"schema": components.of(kind)}}
        shared[name] = {"description": _SAYS[status], "headers": headers, "content": content}
    return {"$ref": f"#/components/responses/{name}"}


def _headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
