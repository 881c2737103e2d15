"""What llama.cpp says of a request that it refuses, as the error object that clients know. Pure.

It has its own types, its status as `code` and no `param`, and calls what it cannot read its own fault.
Source: docs/engine.md, "What the engine's wire looks like".
"""

from __future__ import annotations

import re

import msgspec

from abyssal.wire.errors import ErrorBody, ErrorObject

_UNREADABLE = re.compile(r"Failed to parse (messages|tools)\b")
_FIELD = re.compile(r"Field '([a-z_]+)'")
_SCHEMA = "JSON schema error"


class _Told(msgspec.Struct):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _Body(msgspec.Struct):
    error: _Told


_body = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


def official_error(status: int, body: bytes) -> tuple[int, bytes]:
    """An error answer of the engine, as (status, body); the caller's fault where it is that."""
    try:
        told = _body.decode(body).error
    except msgspec.DecodeError:
        return status, body
    message = told.message
    if told.type == "exceed_context_size_error":
        message = (
            f"The request has {told.n_prompt_tokens} tokens, over the context of {told.n_ctx}; send less, or "
            "set context_window."
        )
        return _refused(message, "messages", "context_length_exceeded")
    unreadable = _UNREADABLE.search(message)
    if unreadable:
        return _refused(f"{unreadable[1]}: {_tail(message)}; check them.", unreadable[1], "invalid_value")
    if status == 400 and _SCHEMA in message:
        at = message.index(_SCHEMA)
        return _refused(f"{message[at:]}; repair the schema.", None, "unsupported_schema")
    field = _FIELD.search(message)
    code = f"upstream_{status}" if status != 400 else "invalid_value" if field else "invalid_request"
    error = ErrorObject(message, told.type or "api_error", field and field[1], code)
    return status, _encode(ErrorBody(error))


def _refused(message: str, param: str | None, code: str) -> tuple[int, bytes]:
    return 400, _encode(ErrorBody(ErrorObject(message, "invalid_request_error", param, code)))


def _tail(message: str) -> str:
    """What the parser complains of, without its own name for the complaint."""
    return message.rpartition("] ")[2] or message
