"""Repair `json_schema`: a schema for an upstream that only knows JSON mode.

1. The request goes in JSON mode, with the schema in a system message behind the first ones, where it is part
   of what the upstream caches. The root must be an object: that is what JSON mode writes.
2. The answer is held back until it is whole, and must conform; if it does not, it is asked for once more, and
   if that does not either, the client is told. An answer that was cut, refused or calls a tool passes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.repairs.events import Fields
from abyssal.gateway.repairs.whole_answer import Said, WholeAnswer
from abyssal.wire.chat_request import ResponseFormat
from abyssal.wire.errors import BadRequestError
from abyssal.wire.json_schema import Validator
from abyssal.wire.schema_tree import as_list

_WHERE = "response_format.json_schema.schema"
_MOST_BYTES = 64 * 1024
_ASK = "Answer with one JSON object and nothing else. It must conform to this JSON Schema:\n"
_encode = msgspec.json.Encoder().encode


class _Said(msgspec.Struct):
    role: str


_said = msgspec.json.Decoder(_Said)


def validator_of(form: ResponseFormat) -> Validator:
    """What judges answers in `form`. Raises BadRequestError for a schema that cannot be judged by."""
    raw = (form.json_schema or {}).get("schema")
    if raw is None:
        raise BadRequestError(f'"{_WHERE}" is missing; it is required.', param=_WHERE, code="missing_field")
    if len(bytes(raw)) > _MOST_BYTES:
        raise BadRequestError(
            f"{_WHERE} is over {_MOST_BYTES} bytes; make it smaller.", param=_WHERE, code="unsupported_schema"
        )
    schema: Any = msgspec.json.decode(raw)
    validator = Validator(schema, _WHERE)
    if "object" not in (as_list(schema.get("type")) or [schema.get("type", "object")]):
        raise BadRequestError(
            f'{_WHERE}: the root must be of the type "object" for this model; put the value into a property.',
            param=_WHERE,
            code="unsupported_schema",
        )
    return validator


def in_words(fields: Fields, messages: list[msgspec.Raw], form: ResponseFormat) -> None:
    """Put the schema into `messages`, and JSON mode in its place."""
    described = (form.json_schema or {}).get("schema", msgspec.Raw(b"{}"))
    asked = {"role": "system", "content": _ASK + bytes(described).decode()}
    place = next((at for at, raw in enumerate(messages) if not _is_system(raw)), len(messages))
    messages.insert(place, msgspec.Raw(_encode(asked)))
    fields["response_format"] = {"type": "json_object"}


def _is_system(raw: msgspec.Raw) -> bool:
    return _said.decode(raw).role in ("system", "developer")


class SchemaReview(WholeAnswer):
    """Judges one answer."""

    name = "json_schema"
    where = _WHERE

    def __init__(self, validator: Validator) -> None:
        super().__init__()
        self._validator = validator

    def conforms(self, said: Said) -> bool:
        if said.finish_reason != "stop":
            return True
        try:
            value = msgspec.json.decode(said.content)
        except (msgspec.DecodeError, RecursionError):
            return False
        return self._validator.accepts(value)
