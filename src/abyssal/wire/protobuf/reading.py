"""Protobuf messages to JSON values, by the tables of `schema`. Made for bytes that nobody should have sent.

1. A number of more than ten bytes, a length that leads past the end, a field with another wire type than its
   own, a group: a WireError whose `path` names the field.
2. A field that is not in the schema is passed over. Of a field that stands twice the last counts; messages
   are merged (Protocol Buffers, "Last One Wins"). A number of an enum that has no name is an error.
3. JSON in a field or in `extra` is checked to be one whole value, and passes on in its own bytes. A key that
   `extra` names cannot be one that has been told already.
4. A message with more fields than `MOST_FIELDS` is refused: each costs memory and time as a JSON value, and
   here as little as two bytes.
5. A double that is a whole number becomes one without a point, as people write it in JSON.

The schema has no message within itself, so nothing nests deeper than it does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from abyssal.wire.protobuf import values
from abyssal.wire.protobuf.fields import EXTRA, Field, Kind, Message, Names
from abyssal.wire.protobuf.varint import WireError, as_int64, read_varint

MOST_FIELDS = 200_000
_PACKED = 8  # bytes of packed numbers that count as one field: they cost less

_VARINT, _I64, _LEN = 0, 1, 2
_EXTRA_TAG = EXTRA << 3 | _LEN

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Budget:
    """What a reading may still take in."""

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_FIELDS) -> None:
        self.left = left

    def take(self, fields: int) -> None:
        """Raise WireError when there are too many."""
        self.left -= fields
        if self.left < 0:
            raise WireError(
                f"there are more than {MOST_FIELDS} fields; send less at once", code="too_many_fields"
            )


Take = Callable[[dict[str, Any], bytes, int, int, Budget], None]
"""Reads the value at `data[start:stop]` into an object."""


_Slot = tuple[str, Take | None, values.Number | None]
"""What is done with the fields of one tag: under which key, and how. A single string needs neither."""


class _Plan(NamedTuple):
    slots: dict[int, _Slot]  # by tag
    keys: dict[int, str]  # by number
    extra: bool


def read_message(message: Message, data: bytes) -> dict[str, Any]:
    """The JSON object that `data` says; JSON within it is `msgspec.Raw`. Raises WireError."""
    out: dict[str, Any] = {}
    _read(_plan_of(message), out, data, 0, len(data), Budget())
    return out


def _read(plan: _Plan, out: dict[str, Any], data: bytes, pos: int, end: int, budget: Budget) -> None:
    slots, extra = plan.slots, None
    number = 0
    while pos < end:
        budget.left -= 1
        if budget.left < 0:
            budget.take(0)
        tag = data[pos]
        start = pos + 1
        if tag > 0x7F:
            tag, start = read_varint(data, pos, end)
        wire = tag & 7
        if wire in (0, 2):  # a varint, or a length
            if start + 1 < end and (number := data[start]) < 0x80:
                pos = start + 1
            elif start + 1 < end and data[start + 1] < 0x80:
                number = number & 0x7F | data[start + 1] << 7  # as nearly all lengths are
                pos = start + 2
            else:
                number, pos = read_varint(data, start, end)
            if wire:
                start = pos
                pos += number
        elif wire in (1, 5):
            pos = start + (8 if wire == 1 else 4)
        else:
            raise WireError(f"it has wire type {wire}, which this schema has no field of")
        if pos > end:
            raise _named(plan, tag, "the bytes end before its value does")
        slot = slots.get(tag)
        if slot is None:
            if tag == _EXTRA_TAG and plan.extra:
                extra = data[start:pos]
            else:
                _pass_over(plan, tag)
            continue
        key, take, of_number = slot
        try:
            if take is not None:
                take(out, data, start, pos, budget)
            elif of_number is None:
                out[key] = str(data[start:pos], "utf-8")
            else:
                value = of_number(number)
                if value is not None:
                    out[key] = value
        except WireError as error:
            error.path.append(key)
            raise
        except UnicodeDecodeError as error:
            raise values.not_utf8(error, key) from None
    if extra is not None:
        _add_extra(out, extra)


def _pass_over(plan: _Plan, tag: int) -> None:
    """A field that is not in the schema: nothing, unless its number is in it, or none at all."""
    if tag >> 3 in plan.keys:
        raise _named(plan, tag, f"wire type {tag & 7} is not the one of this field")
    if not 0 < tag >> 3 < 1 << 29:
        raise WireError(f"{tag >> 3} is no number of a field")


def _add_extra(out: dict[str, Any], text: bytes) -> None:
    try:
        found = _object.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _named_extra(f"not the text of a JSON object: {error}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        raise values.not_utf8(error, "extra") from None
    values.check_utf8(text, "extra")
    twice = out.keys() & found.keys()
    if twice:
        raise _named_extra(f'"{min(twice)}" has a field of its own that is set too', code="duplicate_key")
    out.update(found)


def _named_extra(message: str, *, code: str) -> WireError:
    error = WireError(message, code=code)
    error.path.append("extra")
    return error


def _named(plan: _Plan, tag: int, message: str) -> WireError:
    error = WireError(message)
    error.path.append(plan.keys.get(tag >> 3, f"field {tag >> 3}"))
    return error


# ---- plans ---------------------------------------------------------------------------------------------


_VALUES: dict[Kind, values.Value] = {
    Kind.STRING: values.text,
    Kind.INT: values.integer,
    Kind.DOUBLE: values.double,
    Kind.OCTETS: values.octets,
    Kind.JSON: values.json,
}
_WIRE = {
    Kind.STRING: _LEN,
    Kind.BOOL: _VARINT,
    Kind.INT: _VARINT,
    Kind.DOUBLE: _I64,
    Kind.ENUM: _VARINT,
    Kind.OCTETS: _LEN,
    Kind.JSON: _LEN,
    Kind.MESSAGE: _LEN,
    Kind.LIST: _LEN,
    Kind.MAP: _LEN,
}


@cache
def _plan_of(message: Message) -> _Plan:
    slots: dict[int, _Slot] = {}
    for field in message.fields:
        wire = _WIRE[field.kind]
        slots[field.number << 3 | wire] = _slot_of(field)
        if field.repeated and field.kind in (Kind.INT, Kind.DOUBLE):  # both ways must be read
            slots[field.number << 3 | _LEN] = field.key, _packed(field), None
    keys = {field.number: field.key for field in message.fields}
    if message.extra:
        keys[EXTRA] = "extra"
    return _Plan(slots, keys, message.extra)


def _slot_of(field: Field) -> _Slot:
    kind, key = field.kind, field.key
    if kind is Kind.MESSAGE:
        return key, _messages(field) if field.repeated else _message(field), None
    if kind is Kind.LIST:
        return key, _list(field), None
    if kind is Kind.MAP:
        return key, _map_entry(key), None
    if field.repeated:
        return key, _appended(key, _VALUES[kind]), None
    if isinstance(field.of, Names):
        return key, None, values.enum(field.of)
    if kind is Kind.STRING:
        return key, None, None
    if kind is Kind.BOOL:
        return key, None, bool
    if kind is Kind.INT:
        return key, None, as_int64
    return key, _set(key, _VALUES[kind]), None


def _set(key: str, value: values.Value) -> Take:
    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        out[key] = value(data, start, stop)

    return take


def _appended(key: str, value: values.Value) -> Take:
    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        out.setdefault(key, []).append(value(data, start, stop))

    return take


def _message(field: Field) -> Take:
    assert isinstance(field.of, Message)
    plan, key = _plan_of(field.of), field.key

    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        held: dict[str, Any] = out.get(key, {})
        if type(held) is not dict:  # another field of the oneof was there
            held = {}
        out[key] = held
        _read(plan, held, data, start, stop, budget)

    return take


def _messages(field: Field) -> Take:
    assert isinstance(field.of, Message)
    plan, key = _plan_of(field.of), field.key

    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        made: dict[str, Any] = {}
        held: list[Any] = out.setdefault(key, [])
        try:
            _read(plan, made, data, start, stop, budget)
        except WireError as error:
            error.path.append(f"[{len(held)}]")
            raise
        held.append(made)

    return take


def _list(field: Field) -> Take:
    """A message that stands for a list (or a map), once or several times."""
    assert isinstance(field.of, Message)
    plan, key, repeated = _plan_of(field.of), field.key, field.repeated
    inner = field.of.fields[0]
    is_map = inner.kind is Kind.MAP

    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        held = out.get(key)
        made: dict[str, Any] = {}
        if type(held) is list and not repeated:
            made[inner.key] = held
        _read(plan, made, data, start, stop, budget)
        value = made.get(inner.key, {} if is_map else [])
        if repeated:
            out.setdefault(key, []).append(value)
        else:
            out[key] = value

    return take


_ENTRY = Message("entry", Field(1, "key", Kind.STRING), Field(2, "value", Kind.DOUBLE), extra=False)


def _map_entry(key: str) -> Take:
    plan = _plan_of(_ENTRY)

    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        entry: dict[str, Any] = {}
        _read(plan, entry, data, start, stop, budget)
        out.setdefault(key, {})[entry.get("key", "")] = entry.get("value", 0)

    return take


def _packed(field: Field) -> Take:
    key, doubles = field.key, field.kind is Kind.DOUBLE

    def take(out: dict[str, Any], data: bytes, start: int, stop: int, budget: Budget) -> None:
        held: list[Any] = out.setdefault(key, [])
        if doubles:
            count, odd = divmod(stop - start, 8)
            if odd:
                raise WireError("packed doubles of 8 bytes do not fill it")
            numbers = struct.unpack_from(f"<{count}d", data, start)
            if not all(map(isfinite, numbers)):
                raise values.not_finite()
            held.extend(numbers)
            return
        budget.take((stop - start) // _PACKED)
        while start < stop:
            number, start = read_varint(data, start, stop)
            held.append(as_int64(number))

    return take
