"""Which schemas reach the engine. What the refused ones would do to it is tried in tests/system."""

from __future__ import annotations

from typing import Any

import pytest

from abyssal.gateway.upstreams.engine_patterns import pattern_trouble
from abyssal.gateway.upstreams.engine_schema import check_engine_schema
from abyssal.wire.errors import BadRequestError

TEXT = {"type": "string"}


def pattern(text: str) -> dict[str, Any]:
    return TEXT | {"pattern": text}


def node(tag: str | None = None, **properties: Any) -> dict[str, Any]:
    if tag is not None:
        properties = {"kind": {"const": tag}, **properties}
    return {"type": "object", "properties": properties, "required": [*properties]}


def recursive(*alternatives: Any) -> dict[str, Any]:
    """Alternatives that name themselves `#/$defs/n`."""
    return {"$defs": {"n": {"anyOf": list(alternatives)}}, "$ref": "#/$defs/n"}


AGAIN = {"$ref": "#/$defs/n"}


def chain(levels: int, link: str) -> dict[str, Any]:
    """A schema of `levels` definitions, each of which has the next one twice."""
    defs: dict[str, Any] = {f"a{at}": {link: [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": defs | {f"a{levels}": TEXT}, "$ref": "#/$defs/a0"}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(levels):
        schema = node(a=schema)
    return schema


TAKEN: dict[str, Any] = {
    "nothing": {},
    "deep": nested(60),
    "an optional group": pattern("^([0-9]{3}-)?[0-9]{4}$"),
    "a linked list": recursive(node(next=AGAIN), {"type": "null"}),
    "a tree": recursive(node(left=AGAIN, right=AGAIN), {"type": "integer"}),
    "any JSON": recursive(TEXT, {"type": "array", "items": AGAIN}, node(a=AGAIN)),
    "a tagged union that contains itself": recursive(node("add", left=AGAIN), node("mul", left=AGAIN)),
    "a large tagged union": {"anyOf": [node(str(at), a=TEXT) for at in range(300)]},
    "through properties": {"$defs": {"n": node(a=AGAIN)}, "$ref": "#/$defs/n"},
    "pairs": chain(25, "prefixItems"),
    "one number": {"type": "integer", "minimum": 7, "maximum": 7},
    "between": {"type": "integer", "exclusiveMinimum": 6, "exclusiveMaximum": 8},
    "equal lengths": TEXT | {"minLength": 3, "maxLength": 3},
    "many values": {"enum": [str(at) for at in range(1000)]},
    "booleans for schemas": {"type": "object", "properties": {"a": True}, "additionalProperties": False},
    "strange values": {"properties": [1], "required": 5, "anyOf": {}, "items": [3], "minItems": "x"},
}
REFUSED: dict[str, Any] = {
    "no object": [True, False, None, [], "x", 5],
    "bounds": [
        {"type": "array", "minItems": 5, "maxItems": 2},
        TEXT | {"minLength": 5, "maxLength": 2},
        {"minProperties": 5, "maxProperties": 2},
        {"type": "array", "minItems": 10**6},
        TEXT | {"maxLength": 10**9},
        {"type": "array", "minItems": 2001},
        {"anyOf": [{"type": "array", "items": TEXT | {"minLength": 5, "maxLength": 2}}]},
    ],
    "numbers": [
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 8},
        {"type": "integer", "exclusiveMinimum": 7, "maximum": 7},
        {"type": ["integer", "null"], "minimum": 1.5, "maximum": 1.7},
        {"type": "number", "minimum": 5, "maximum": 1},
    ],
    "references": [
        {"$ref": "#"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "https://example.com/x.json"},
        {"$ref": 5},
        {"$defs": {"n": AGAIN}, "$ref": "#/$defs/n"},
        recursive(AGAIN, TEXT),
        {"$defs": {"n": {"allOf": [AGAIN]}}, "$ref": "#/$defs/n"},
    ],
    "ways": [
        chain(25, "anyOf"),
        chain(7, "oneOf"),
        {"anyOf": [TEXT] * 65},
        recursive({"type": "array", "items": AGAIN}, {"type": "array", "items": AGAIN}),
        recursive(node(a=AGAIN), node(b=AGAIN)),
        recursive(node("same", a=AGAIN), node("same", b=AGAIN)),
        recursive(node("add", a=AGAIN), node(b=AGAIN)),
    ],
    "size": [
        {"enum": [str(at) for at in range(1001)]},
        {"type": "object", "properties": {f"p{at}": TEXT for at in range(301)}},
        {"anyOf": [node(str(at), a=TEXT) for at in range(700)]},
        TEXT | {"description": "x" * 70_000},
    ],
}


@pytest.mark.parametrize("schema", TAKEN.values(), ids=TAKEN)
def test_schemas_that_the_engine_can_be_bound_by(schema: Any) -> None:
    check_engine_schema(schema, "where")


@pytest.mark.parametrize(
    "schema", [schema for schemas in REFUSED.values() for schema in schemas],
    ids=[f"{name} {at}" for name, schemas in REFUSED.items() for at, _ in enumerate(schemas)],
)  # fmt: skip
def test_schemas_that_would_crash_or_stall_it(schema: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        check_engine_schema(schema, "where")
    assert refused.value.code == "unsupported_schema"
    assert (refused.value.param or "").startswith("where")


def test_the_place_is_named() -> None:
    schema = node(a={"type": "array", "items": {"anyOf": [TEXT, {"minItems": 3, "maxItems": 1}]}})
    with pytest.raises(BadRequestError) as refused:
        check_engine_schema(schema, "where")
    assert refused.value.param == "where.properties.a.items.anyOf[1].minItems"


PATTERNS = [
    "^$", "^abc$", "^[a-z]{2,4}$", "^(ab|cd)+$", "^(?:ab){3}$", r"^a\.b\$$", "^[^\"]*$", "^[\u4e00-\u9fff]+$",
    "^([0-9]{4})-([0-9]{2})$", "^a{256}$", "^a{0,5}$", r"^[\]\-x]$", "^(a(b|c)?)?$", "^ #!x$",
]  # fmt: skip
NO_PATTERNS = [
    5, None, "abc", "^abc", "abc$", "^.$", r"^\d$", r"^\w+$", r"^\bx$", r"^(a)\1$", "^(?=a)$", "^(?<n>a)$", "^(a$",
    "^a)$", "^[abc$", "^?$", "^a**$", "^a{2}{3}$", "^(a*)*$", "^((a+)b)+$", "^(a?){100}$", "^a{5,2}$", "^a{257}$",
    "^a{0,9999}$", "^a{99999999999}$", "^a{$", "^a{x}$", "^()$", "^(a|)$", "^a^b$", "^a$b$", "^a\\$", r"^\p{L}$",
    "^" + "a?" * 33 + "$", "^" + "a" * 600 + "$", r"^[\d]$",
]  # fmt: skip


@pytest.mark.parametrize("text", PATTERNS)
def test_patterns_that_the_grammar_holds(text: str) -> None:
    assert pattern_trouble(text) == ""


@pytest.mark.parametrize("text", NO_PATTERNS)
def test_patterns_that_it_does_not(text: Any) -> None:
    assert pattern_trouble(text)
