"""One whole body, from JSON to Protobuf and back, for each format that has messages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from abyssal.wire.errors import BadRequestError, ProtocolError
from abyssal.wire.protobuf import schema
from abyssal.wire.protobuf.fields import Message
from abyssal.wire.protobuf.reading import read_message
from abyssal.wire.protobuf.varint import WireError
from abyssal.wire.protobuf.writing import writer_of


class Format(NamedTuple):
    """The messages of a route: of its request, its answer, and an event of its stream (None: has none)."""

    name: str
    request: Message
    answer: Message
    chunk: Message | None


CHAT = Format("chat", schema.CHAT_REQUEST, schema.CHAT_COMPLETION, schema.CHAT_CHUNK)
COMPLETIONS = Format("completions", schema.COMPLETION_REQUEST, schema.COMPLETION, schema.COMPLETION)
EMBEDDINGS = Format("embeddings", schema.EMBEDDING_REQUEST, schema.EMBEDDING_LIST, None)
FORMATS = {form.name: form for form in (CHAT, COMPLETIONS, EMBEDDINGS)}

_exact = msgspec.json.Decoder(float_hook=Decimal)  # so that `extra` keeps each digit
_quick = msgspec.json.Decoder()


def encode_request(form: Format, body: bytes) -> bytes:
    """A request's message, from its JSON `body`. Raises BadRequestError when that is no JSON object."""
    try:
        value = _object(_exact, body)
    except ValueError as error:
        raise BadRequestError(f"The body must be a JSON object: {error}.", code="invalid_json") from None
    written = writer_of(form.request, True)(value)
    assert written is not None  # an object always can be written
    return written


def decode_request(form: Format, data: bytes) -> bytes:
    """A request's JSON body, from its message. Raises BadRequestError; `param` names the field."""
    try:
        return msgspec.json.encode(read_message(form.request, data))
    except WireError as error:
        where = f'"{error.param}": ' if error.param else ""
        raise BadRequestError(
            f"The body is not an abyssal.v1.{form.request.name}: {where}{error.message}.",
            code=error.code,
            param=error.param,
        ) from None


def encode_answer(form: Format, body: bytes) -> bytes:
    """An answer's message, from its JSON `body`. Raises ProtocolError when that is no JSON object."""
    written = writer_of(form.answer, False)(load(body, numbers=form is EMBEDDINGS))
    assert written is not None  # an object always can be written
    return written


def decode_answer(form: Format, data: bytes) -> bytes:
    """An answer's JSON body, from its message. Raises ProtocolError."""
    return msgspec.json.encode(_read(form.answer, data))


def encode_error(body: bytes) -> bytes:
    """An Error, from an error answer's JSON body; of one that is none, the text becomes the message."""
    try:
        found = error_object(load(body))
    except ProtocolError:
        found = {"message": body[:500].decode("utf-8", "replace")}
    return writer_of(schema.ERROR, False)(found) or b""


def decode_error(data: bytes) -> bytes:
    """An error answer's JSON body, from an Error. Raises ProtocolError."""
    return msgspec.json.encode({"error": _read(schema.ERROR, data)})


def load(body: bytes, *, numbers: bool = False) -> dict[str, Any]:
    """The JSON object in `body`. Raises ProtocolError. `numbers`: it is full of them, and doubles will do."""
    try:
        return _object(_quick if numbers else _exact, body)
    except ValueError as error:
        raise ProtocolError(f"The answer is not a JSON object: {error}.") from None


def error_object(value: dict[str, Any]) -> dict[str, Any]:
    """The error object in an error answer."""
    found = value.get("error")
    if isinstance(found, dict):
        return found  # pyright: ignore[reportUnknownVariableType]
    return {"message": str(found)} if found is not None else value


def _object(decoder: msgspec.json.Decoder[Any], body: bytes) -> dict[str, Any]:
    """The object in `body`. Raises ValueError."""
    try:
        value = decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _read(message: Message, data: bytes) -> dict[str, Any]:
    try:
        return read_message(message, data)
    except WireError as error:
        raise ProtocolError(f"The answer is not an abyssal.v1.{message.name}: {error.message}.") from None
