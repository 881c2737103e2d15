"""Values against schemas: what conforms, what does not, and what is not judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.errors import BadRequestError
from abyssal.wire.json_schema import SchemaTooCostlyError, Validator, same

NODE = {
    "$defs": {
        "n": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
    },
    "$ref": "#/$defs/n",
}

# (schema, values that conform, values that do not)
CASES: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({}, [1, None, "x", [], {}], []),
    ({"type": "integer"}, [1, -5, 1.0], [1.5, "1", True, None]),
    ({"type": "number"}, [1, 1.5], ["1", False]),
    ({"type": "string"}, [""], [1, None]),
    ({"type": "boolean"}, [True, False], [0, 1]),
    ({"type": "null"}, [None], [0, False, ""]),
    ({"type": "array"}, [[]], [{}, "x"]),
    ({"type": "object"}, [{}], [[], None]),
    ({"type": ["string", "null"]}, ["x", None], [1]),
    ({"type": "strange"}, [], [1, "x"]),
    ({"enum": [1, "a", [1], None]}, [1, 1.0, "a", [1], None], [True, "b", [2], []]),
    ({"const": {"a": [1, {"b": True}]}}, [{"a": [1, {"b": True}]}], [{"a": [1, {"b": 1}]}, {}]),
    ({"minimum": 2, "maximum": 4}, [2, 3.5, 4, "x"], [1, 5]),
    ({"exclusiveMinimum": 2, "exclusiveMaximum": 4}, [3], [2, 4]),
    ({"multipleOf": 0.1}, [0.3, 1, 0], [0.25]),
    ({"multipleOf": 0}, [], [1]),
    ({"multipleOf": 1e-308}, ["x"], [1e308]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "想想", 5], ["a", "abcd"]),
    ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], "x"], [[], [1, 2, 3]]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
    ({"uniqueItems": True}, [[1, 2, True, "1"]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"properties": {"a": {"type": "string"}}}, [{"a": "x"}, {}, {"b": 1}, 5], [{"a": 1}]),
    ({"required": ["a"]}, [{"a": None}, []], [{}, {"b": 1}]),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}, {}], [{"b": 1}]),
    ({"additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "x"}]),
    ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
    ({"items": {"type": "integer"}}, [[], [1, 2], "x"], [[1, "x"]]),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["x", 1], ["x"], []], [[1], ["x", "y"]]),
    ({"items": [{"type": "string"}, {"type": "integer"}]}, [["x", 1, None]], [[1]]),
    ({"items": False}, [[]], [[1]]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["x", 5], [4]),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, [2, 3], [6, 5]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [2], [0, 4]),
    ({"not": {"type": "string"}}, [1], ["x"]),
    ({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}}, ["ab", 2], ["a", 1]),
    ({"if": {"type": "string"}, "then": False}, [1], ["x"]),
    ({"$defs": {"a/b~c": {"const": 1}}, "$ref": "#/$defs/a~1b~0c"}, [1], [2]),
    ({"$defs": {"a": {"const": 1}}, "$ref": "#/$defs/a", "minimum": 1}, [1], [2, 0]),
    (NODE, [{"next": {"next": None}}, {}], [{"next": {"next": 5}}, 5]),
    ({"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, [{"a": {"a": {}}}], [{"a": {"b": 1}}]),
    ({"format": "date", "description": "d", "title": 5, "default": 1}, ["no date", 5], []),
]  # fmt: skip
JUDGED = [
    (schema, value, good)
    for schema, yes, no in CASES
    for good, values in ((True, yes), (False, no))
    for value in values
]


@pytest.mark.parametrize(("schema", "value", "good"), JUDGED)
def test_values(schema: dict[str, Any], value: Any, good: bool) -> None:
    validator = Validator(schema, "schema")
    assert validator.accepts(value) is good
    assert validator.accepts(value) is good  # it judges more than once


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (True, "schema"),
        (None, "schema"),
        ({"pattern": "^(a+)+$"}, "schema.pattern"),
        ({"properties": {"a": {"patternProperties": {}}}}, "schema.properties.a.patternProperties"),
        ({"items": {"$ref": "https://example.com"}}, "schema.items.$ref"),
        ({"$ref": "#/$defs/missing"}, "schema.$ref"),
        ({"unevaluatedProperties": False}, "schema.unevaluatedProperties"),
        ({"anyOf": [{}] * 3000}, "schema"),
    ],
)
def test_what_is_not_judged_by_is_refused(schema: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        Validator(schema, "schema")
    assert (refused.value.param, refused.value.code) == (param, "unsupported_schema")


def doubled(link: str) -> dict[str, Any]:
    defs: dict[str, Any] = {f"a{at}": {link: [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(30)}
    return {"$defs": defs | {"a30": {"type": "string"}}, "$ref": "#/$defs/a0"}


COSTLY: list[tuple[dict[str, Any], Any]] = [
    (doubled("allOf"), "x"),
    (doubled("anyOf"), 5),
    ({"$ref": "#"}, 1),
    ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, 1),
    ({"uniqueItems": True}, list(range(100_000))),
    ({"items": {"enum": list(range(900))}}, [899] * 1000),
]


@pytest.mark.parametrize(("schema", "value"), COSTLY)
def test_what_would_take_for_ever_is_given_up(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(SchemaTooCostlyError):
        Validator(schema, "schema").accepts(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 1.5])
    | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(json_values)
def test_a_value_conforms_to_itself_as_a_constant(value: Any) -> None:
    assert same(value, value)
    assert Validator({"const": value}, "schema").accepts(value)
    assert Validator({"enum": [value]}, "schema").accepts(value)
    assert not Validator({"not": {"const": value}}, "schema").accepts(value)
