"""Single values as they are read: text, numbers, JSON."""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import copysign, isfinite
from typing import Any

import msgspec

from abyssal.wire.protobuf.fields import Names
from abyssal.wire.protobuf.varint import WireError, as_int64, read_varint

Value = Callable[[bytes, int, int], Any]
"""Reads the value at `data[start:stop]`."""

Number = Callable[[int], Any]
"""What a varint means; None for nothing."""

_DOUBLE = struct.Struct("<d")
_EXACT = 1 << 53

_raw = msgspec.json.Decoder(msgspec.Raw)


def not_utf8(error: UnicodeDecodeError, key: str = "") -> WireError:
    raised = WireError(f"byte {error.start} is not UTF-8", code="invalid_utf8")
    if key:
        raised.path.append(key)
    return raised


def check_utf8(text: bytes, key: str = "") -> None:
    if not text.isascii():
        try:
            str(text, "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(error, key) from None


def text(data: bytes, start: int, stop: int) -> str:
    try:
        return str(data[start:stop], "utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None


def integer(data: bytes, start: int, stop: int) -> int:
    return as_int64(read_varint(data, start, stop)[0])


def double(data: bytes, start: int, stop: int) -> float | int:
    number: float = _DOUBLE.unpack_from(data, start)[0]
    if not isfinite(number):
        raise not_finite()
    if number.is_integer() and -_EXACT <= number <= _EXACT and (number or copysign(1, number) > 0):
        return int(number)
    return number


def not_finite() -> WireError:
    return WireError("it is not a finite number, which JSON has no word for", code="invalid_value")


def octets(data: bytes, start: int, stop: int) -> list[int]:
    return list(data[start:stop])


def json(data: bytes, start: int, stop: int) -> msgspec.Raw:
    text = data[start:stop]
    try:
        found = _raw.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(f"not the text of one JSON value: {error}", code="invalid_json") from None
    check_utf8(text)
    return found


def enum(names: Names) -> Number:
    strings = names.strings

    def value(number: int) -> str | None:
        found = strings.get(number)
        if found is None and number:  # 0 is "unspecified"
            raise WireError(f"{as_int64(number)} is no number of {names.name}", code="invalid_value")
        return found

    return value
