"""What a message of the schema consists of: plain tables, which `reading` and `writing` are driven by."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """How a value goes over the wire, and what it is in JSON."""

    STRING = "string"
    BOOL = "bool"
    INT = "int64"
    DOUBLE = "double"
    ENUM = "an enum; in JSON one of its names"
    OCTETS = "bytes; in JSON a list of numbers from 0 to 255"
    JSON = "bytes that are the text of a JSON value; in JSON that value"
    MESSAGE = "a message; in JSON an object"
    LIST = "a message with one repeated field; in JSON a list"
    MAP = "map<string, double>; in JSON an object of numbers"


class Field(NamedTuple):
    """One field. `key` is its name in JSON, which fields of a oneof share, `name` that in the schema."""

    number: int
    key: str
    kind: Kind
    repeated: bool = False
    of: Message | Names | None = None  # what a message, list or enum is of
    name: str = ""  # "" is `key`


class Message:
    """One message, made once. `wraps`: its JSON is the value of its only field, not an object."""

    __slots__ = ("extra", "fields", "name", "wraps")

    def __init__(self, name: str, *fields: Field, wraps: bool = False, extra: bool = True) -> None:
        self.name, self.fields, self.wraps = name, fields, wraps
        self.extra = extra and not wraps  # whether it has the field EXTRA


class Names:
    """An enum: the JSON string of each number; `name` and `prefix` are the schema's."""

    __slots__ = ("name", "numbers", "prefix", "strings")

    def __init__(self, name: str, prefix: str, *strings: str) -> None:
        self.name, self.prefix = name, prefix
        self.strings = dict(enumerate(strings, 1))
        self.numbers = {string: number for number, string in self.strings.items()}


EXTRA = 15
"""The field of every object message that holds what its other fields cannot: the text of a JSON object."""


def string(number: int, key: str, name: str = "", *, repeated: bool = False) -> Field:
    return Field(number, key, Kind.STRING, repeated, name=name)


def flag(number: int, key: str) -> Field:
    return Field(number, key, Kind.BOOL)


def integer(number: int, key: str, *, repeated: bool = False) -> Field:
    return Field(number, key, Kind.INT, repeated)


def double(number: int, key: str, *, repeated: bool = False) -> Field:
    return Field(number, key, Kind.DOUBLE, repeated)


def one_of(number: int, key: str, names: Names) -> Field:
    return Field(number, key, Kind.ENUM, of=names)


def octets(number: int, key: str, name: str) -> Field:
    return Field(number, key, Kind.OCTETS, name=name)


def json(number: int, key: str, name: str = "") -> Field:
    return Field(number, key, Kind.JSON, name=name)


def message(number: int, key: str, of: Message) -> Field:
    return Field(number, key, Kind.LIST if of.wraps else Kind.MESSAGE, of=of)


def messages(number: int, key: str, of: Message) -> Field:
    return Field(number, key, Kind.LIST if of.wraps else Kind.MESSAGE, repeated=True, of=of)


def a_list(number: int, key: str, of: Message, name: str) -> Field:
    return Field(number, key, Kind.LIST, of=of, name=name)


def numbers_by_name(number: int, key: str) -> Field:
    return Field(number, key, Kind.MAP)
