"""A request's body as a typed value, or one sentence that says what is wrong with it."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

import msgspec

from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import KeyGuard, check_text

T = TypeVar("T")

_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<key>key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `([^`]+)`")


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T], guard: KeyGuard) -> T:
    """As `decoded`; a body that passes is read the same by any other JSON parser, see `wire.guard`."""
    check_text(body)
    try:
        value = decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error)
    guard.check(body)
    return value


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What `decoder` reads in `body` (JSON bytes). Raises BadRequestError whose `param` names the field."""
    check_text(body)
    return decode_own(body, decoder)


def decode_own(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """As `decoded`, for a body that the platform wrote from one that was checked."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    """Say what is wrong with the body that a decoder gave up on."""
    if isinstance(error, RecursionError):
        raise BadRequestError("The body nests too deeply; flatten it.", code="nested_too_deeply") from None
    if not isinstance(error, msgspec.ValidationError):
        raise BadRequestError(
            f"The body is not JSON: {error}; send one JSON object.", code="invalid_json"
        ) from None
    text = str(error)
    found = _PATH.match(text)
    problem, path = (found["problem"], found["path"] or "") if found else (text, "")
    path = path.replace("[...]", "")  # a value under a key of the client's own: its object is the field
    if "missing required field" in problem:
        name = _FIELD.findall(problem)[0]
        path = f"{path}.{name}" if path else name
        raise BadRequestError(
            f'"{path}" is missing; it is required.', param=path, code="missing_field"
        ) from None
    if not path:
        raise BadRequestError(f"The body must be a JSON object: {problem}.", code="invalid_json") from None
    said = f'"{path}": {problem[0].lower()}{problem[1:]}.'
    raise BadRequestError(said, param=path, code="invalid_value") from None
