"""JSON values to Protobuf messages, by the tables of `schema`.

1. What a field cannot hold goes into `extra` as it is: a key without a field, a value of another type, a
   number out of range, an empty list or map (which no bytes would tell), a null. So any JSON object can be
   written, and read back as the same one.
2. With `nulls=False` a null whose key has a field is left out: in an answer it says no more than absence.
3. Fields are written in the order of the keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Any

import msgspec

from abyssal.wire.protobuf.fields import EXTRA, Field, Kind, Message, Names
from abyssal.wire.protobuf.varint import encode_int64, encode_varint

Writer = Callable[[Any], "bytes | None"]
"""Gives a value's bytes, None where it does not fit."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_INT64 = 1 << 63
_EXACT = 1 << 53
_EXTRA = encode_varint(EXTRA << 3 | 2)
_DOUBLE = struct.Struct("<d")


@cache
def writer_of(message: Message, nulls: bool) -> Writer:
    """What writes the JSON value of `message`: its content, without tag or length."""
    if message.wraps:
        return _field_writer(message.fields[0], nulls, empty=True)
    writers: dict[str, Writer] = {}
    for field in message.fields:
        earlier, this = writers.get(field.key), _field_writer(field, nulls, empty=False)
        writers[field.key] = this if earlier is None else _either(earlier, this)
    find, has_extra = writers.get, message.extra

    def write(value: Any) -> bytes | None:
        pairs: dict[str, Any] = value
        if type(value) is not dict:
            return None
        out: list[bytes] = []
        extra: dict[str, Any] | None = None
        for key, item in pairs.items():
            writer = find(key)
            if writer is not None:
                piece = writer(item)
                if piece is not None:
                    out.append(piece)
                    continue
                if item is None and not nulls:
                    continue
            if extra is None:
                extra = {}
            extra[key] = item
        if extra is not None:
            if not has_extra:
                return None
            text = _encode(extra)
            out += (_EXTRA, encode_varint(len(text)), text)
        return b"".join(out)

    return write


def _either(first: Writer, second: Writer) -> Writer:
    def write(value: Any) -> bytes | None:
        piece = first(value)
        return second(value) if piece is None else piece

    return write


def _field_writer(field: Field, nulls: bool, *, empty: bool) -> Writer:
    """What writes a field with its tag. `empty`: a list or map without items is written as no bytes."""
    if field.kind is Kind.MAP:
        return _map_writer(field, empty)
    if field.repeated and field.kind in (Kind.INT, Kind.DOUBLE):
        return _packed_writer(field, empty)
    one = _one_writer(field, nulls)
    return _list_writer(one, empty) if field.repeated else one


def _one_writer(field: Field, nulls: bool) -> Writer:
    kind = field.kind
    if kind is Kind.STRING:
        return _string_writer(field)
    if kind is Kind.INT:
        return _int_writer(field)
    if kind is Kind.DOUBLE:
        return _double_writer(field)
    if kind is Kind.BOOL:
        return _constant_writer(field, {True: b"\x01", False: b"\x00"}, bool)
    if kind is Kind.ENUM:
        assert isinstance(field.of, Names)
        return _constant_writer(field, {s: encode_varint(n) for s, n in field.of.numbers.items()}, str)
    if kind is Kind.OCTETS:
        return _with_length(field, _octets)
    if kind is Kind.JSON:
        return _with_length(field, _json)
    assert isinstance(field.of, Message)
    return _with_length(field, writer_of(field.of, nulls))


def _tag(field: Field, wire_type: int) -> bytes:
    return encode_varint(field.number << 3 | wire_type)


def _with_length(field: Field, content: Writer) -> Writer:
    tag = _tag(field, 2)

    def write(value: Any) -> bytes | None:
        piece = content(value)
        return None if piece is None else tag + encode_varint(len(piece)) + piece

    return write


def _string_writer(field: Field) -> Writer:
    tag = _tag(field, 2)

    def write(value: Any) -> bytes | None:
        if type(value) is not str:
            return None
        text = value.encode()
        return tag + encode_varint(len(text)) + text

    return write


def _int_writer(field: Field) -> Writer:
    tag = _tag(field, 0)

    def write(value: Any) -> bytes | None:
        if type(value) is not int or not -_INT64 <= value < _INT64:
            return None
        return tag + encode_int64(value)

    return write


def _double_writer(field: Field) -> Writer:
    tag = _tag(field, 1)

    def write(value: Any) -> bytes | None:
        number = _as_double(value)
        return None if number is None else tag + _DOUBLE.pack(number)

    return write


def _constant_writer(field: Field, codes: dict[Any, bytes], of: type) -> Writer:
    tag = _tag(field, 0)
    pieces = {value: tag + code for value, code in codes.items()}

    def write(value: Any) -> bytes | None:
        return pieces.get(value) if type(value) is of else None

    return write


def _list_writer(one: Writer, empty: bool) -> Writer:
    def write(value: Any) -> bytes | None:
        items: list[Any] = value
        if type(value) is not list or not (value or empty):
            return None
        out: list[bytes] = []
        for item in items:
            piece = one(item)
            if piece is None:
                return None
            out.append(piece)
        return b"".join(out)

    return write


def _packed_writer(field: Field, empty: bool) -> Writer:
    tag, doubles = _tag(field, 2), field.kind is Kind.DOUBLE

    def write(value: Any) -> bytes | None:
        items: list[Any] = value
        if type(value) is not list or not (value or empty):
            return None
        if doubles:
            numbers = items if _all_doubles(items) else [_as_double(item) for item in items]
            if None in numbers:
                return None
            content = struct.pack(f"<{len(numbers)}d", *numbers)
        elif all(type(item) is int and -_INT64 <= item < _INT64 for item in items):
            content = b"".join([encode_int64(item) for item in items])
        else:
            return None
        return tag + encode_varint(len(content)) + content if content else b""

    return write


def _map_writer(field: Field, empty: bool) -> Writer:
    tag = _tag(field, 2)

    def write(value: Any) -> bytes | None:
        pairs: dict[str, Any] = value
        if type(value) is not dict or not (value or empty):
            return None
        out: list[bytes] = []
        for key, item in pairs.items():
            number = _as_double(item)
            if number is None:
                return None
            name = key.encode()
            entry = b"\x0a%b%b\x11%b" % (encode_varint(len(name)), name, _DOUBLE.pack(number))
            out.append(tag + encode_varint(len(entry)) + entry)
        return b"".join(out)

    return write


def _all_doubles(items: list[Any]) -> bool:
    return set(map(type, items)) == {float} and all(map(isfinite, items))


def _as_double(value: Any) -> float | None:
    """`value` as the double that any reader of JSON would take it for, None where there is none."""
    if type(value) is float:
        return value if isfinite(value) else None
    if type(value) is int:
        return float(value) if -_EXACT <= value <= _EXACT else None
    if type(value) is Decimal:
        number = float(value)
        return number if isfinite(number) else None
    return None


def _octets(value: Any) -> bytes | None:
    items: list[Any] = value
    if type(value) is not list:
        return None
    if not all(type(item) is int and 0 <= item < 256 for item in items):
        return None
    return bytes(items)


def _json(value: Any) -> bytes | None:
    return None if value is None else _encode(value)
