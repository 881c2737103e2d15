"""Structured field values (RFC 9651), as far as signatures need them: dictionaries of lists and of bytes.

1. Bare items are strings, integers, byte sequences, booleans and tokens. Decimals, dates and display strings
   are refused: nothing that is signed here has them.
2. Where the RFC lets a later member or parameter replace an earlier one, both are refused: who signs writes
   each once.
3. Base64 has one spelling (RFC 4648 §3.5): padded, without spare bits.
4. What was read can be written again in the RFC's one form (§4.1), which is what signatures cover.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import NamedTuple

MAX_FIELD = 8192  # characters
MAX_MEMBERS = 32  # of a dictionary, a list, or parameters


class StructuredFieldError(ValueError):
    """The field's value is not what RFC 9651 calls well-formed, or has what this module does not take."""


class Token(str):
    """A token: a word without quotes."""

    __slots__ = ()


BareItem = str | int | bytes | bool | Token
Parameters = dict[str, BareItem]


class Item(NamedTuple):
    """A string in an inner list, with its parameters."""

    value: str
    parameters: Parameters


class InnerList(NamedTuple):
    """A list in parentheses, with its own parameters."""

    items: tuple[Item, ...]
    parameters: Parameters


_key = re.compile(r"[a-z*][a-z0-9_.*-]*").match
_string = re.compile(r'"([ !#-\[\]-~]*(?:\\["\\][ !#-\[\]-~]*)*)"').match
_bare = re.compile(
    r"(?P<integer>-?[0-9]{1,15})(?![0-9.])"
    r"|:(?P<base64>[A-Za-z0-9+/]*={0,2}):"
    r"|\?(?P<boolean>[01])"
    r"|(?P<token>[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
).match
_plain = re.compile(r'"[@a-z0-9-]+"(?: "[@a-z0-9-]+")*\)').match  # names as nearly all lists have them
_blanks = re.compile(r" *").match
_between = re.compile(r"[ \t]*,[ \t]*").match


def inner_lists(field: bytes) -> dict[str, InnerList]:
    """A dictionary of inner lists of strings, such as Signature-Input. Raises StructuredFieldError."""
    text = _text(field)
    found: dict[str, InnerList] = {}
    at = 0
    while True:
        label, at = _label(text, at, found)
        if text[at : at + 1] != "(":
            raise StructuredFieldError(f"{label} is not a list in parentheses")
        items, at = _items(text, at + 1)
        parameters, at = _parameters(text, at)
        found[label] = InnerList(items, parameters)
        if at == len(text):
            return found
        at = _next_member(text, at)


def byte_sequences(field: bytes) -> dict[str, bytes]:
    """A dictionary of byte sequences, such as Signature. Raises StructuredFieldError."""
    text = _text(field)
    found: dict[str, bytes] = {}
    at = 0
    while True:
        label, at = _label(text, at, found)
        value, at = _bare_item(text, at)
        if type(value) is not bytes:
            raise StructuredFieldError(f"{label} is not a byte sequence")
        found[label] = value
        _, at = _parameters(text, at)
        if at == len(text):
            return found
        at = _next_member(text, at)


def serialized_list(items: tuple[Item, ...], parameters: Parameters) -> str:
    """An inner list as RFC 9651 §4.1.1.1 writes it."""
    inside = " ".join([serialized_item(item) for item in items])
    return f"({inside}){serialized_parameters(parameters)}"


def serialized_item(item: Item) -> str:
    """An item of a list, with its parameters."""
    if item.parameters:
        return serialized(item.value) + serialized_parameters(item.parameters)
    return _serialized_name(item.value)


def serialized_parameters(parameters: Parameters) -> str:
    """Parameters as RFC 9651 §4.1.1.2 writes them."""
    return "".join(
        [
            f";{name}" if value is True else f";{name}={serialized(value)}"
            for name, value in parameters.items()
        ]
    )


def serialized(value: BareItem) -> str:
    """A bare item as RFC 9651 §4.1.3 writes it."""
    if type(value) is str and "\\" not in value and '"' not in value:
        return f'"{value}"'
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, bytes):
        return f":{b2a_base64(value, newline=False).decode()}:"
    return str(value)


@lru_cache(maxsize=256)
def _serialized_name(name: str) -> str:
    return serialized(name)


def _text(field: bytes) -> str:
    if len(field) > MAX_FIELD:
        raise StructuredFieldError(f"the field is over {MAX_FIELD} bytes")
    try:
        return field.decode("ascii").strip(" ")
    except UnicodeDecodeError:
        raise StructuredFieldError("the field is not ASCII") from None


def _label(text: str, at: int, known: dict[str, InnerList] | dict[str, bytes]) -> tuple[str, int]:
    match = _key(text, at)
    if match is None or text[match.end() : match.end() + 1] != "=":
        raise StructuredFieldError(f"character {at}: a label and = are expected")
    label = match.group()
    if label in known or len(known) >= MAX_MEMBERS:
        raise StructuredFieldError(f"{label} comes twice, or there are more than {MAX_MEMBERS} members")
    return label, match.end() + 1


def _next_member(text: str, at: int) -> int:
    match = _between(text, at)
    if match is None or match.end() == len(text):
        raise StructuredFieldError(f"character {at}: a comma and a member are expected")
    return match.end()


def _items(text: str, at: int) -> tuple[tuple[Item, ...], int]:
    """The strings of an inner list from behind its opening parenthesis, and where it has closed."""
    plain = _plain(text, at)
    if plain is not None:
        return _plain_items(plain.group()), plain.end()
    found: list[Item] = []
    start = at
    while True:
        blanks = _blanks(text, at)
        at = at if blanks is None else blanks.end()
        if text[at : at + 1] == ")":
            return tuple(found), at + 1
        match = _string(text, at)
        if match is None or (found and text[at - 1] != " ") or len(found) >= MAX_MEMBERS:
            raise StructuredFieldError(f"character {at}, list from {start}: a string or ) is expected")
        parameters, at = _parameters(text, match.end())
        found.append(Item(_unescaped(match.group(1)), parameters))


@lru_cache(maxsize=256)
def _plain_items(text: str) -> tuple[Item, ...]:
    """The same for what `_plain` matched: a client covers the same names in every request."""
    names = text[1:-2].split('" "')
    if len(names) > MAX_MEMBERS:
        raise StructuredFieldError(f"the list has more than {MAX_MEMBERS} members")
    return tuple(Item(name, {}) for name in names)


def _parameters(text: str, at: int) -> tuple[Parameters, int]:
    found: Parameters = {}
    while text[at : at + 1] == ";":
        blanks = _blanks(text, at + 1)
        match = _key(text, at + 1 if blanks is None else blanks.end())
        if match is None:
            raise StructuredFieldError(f"character {at}: a parameter is expected")
        name, at = match.group(), match.end()
        if name in found or len(found) >= MAX_MEMBERS:
            raise StructuredFieldError(f"{name} comes twice, or there are more than {MAX_MEMBERS} parameters")
        if text[at : at + 1] == "=":
            found[name], at = _bare_item(text, at + 1)
        else:
            found[name] = True
    return found, at


def _bare_item(text: str, at: int) -> tuple[BareItem, int]:
    if text[at : at + 1] == '"':
        match = _string(text, at)
        if match is None:
            raise StructuredFieldError(f"character {at}: the string does not end, or has what none may")
        return _unescaped(match.group(1)), match.end()
    match = _bare(text, at)
    if match is None:
        raise StructuredFieldError(f"character {at}: no item that is known here")
    kind, value = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "integer":
        return int(value), match.end()
    if kind == "base64":
        return _bytes(value), match.end()
    if kind == "boolean":
        return value == "1", match.end()
    return Token(value), match.end()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def _bytes(text: str) -> bytes:
    try:
        data = a2b_base64(text)
    except Base64Error:
        raise StructuredFieldError("a byte sequence is not base64") from None
    if b2a_base64(data, newline=False).decode() != text:
        raise StructuredFieldError("a byte sequence is not base64 in its one spelling")
    return data
