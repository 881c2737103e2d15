"""Schemas on the real engine: they bind the answer, and none of them, however hostile, takes it from others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abyssal.engine.bundled import bundled_path
from abyssal.testing import RunningServer, ScriptedUpstream, WireResponse

from .calls import Gateway, body, chunks, text_of

pytestmark = pytest.mark.skipif(not bundled_path().exists(), reason="the bundled model is not made yet")

TEXT = {"type": "string"}
PERSON = {
    "type": "object",
    "properties": {
        "name": TEXT | {"maxLength": 12},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "sex": {"enum": ["f", "m"]},
    },
    "required": ["name", "age", "sex"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with RunningServer(None, tmp_path_factory.mktemp("embedded")) as server, ScriptedUpstream() as unused:
        yield Gateway(server, unused)


def ask(gateway: Gateway, form: dict[str, Any], **fields: Any) -> WireResponse:
    fields = {"max_tokens": 40, "temperature": 0} | fields
    return gateway.ask(body("abyssal-tiny", "Who are you?", response_format=form, **fields))


def by_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def said(answer: WireResponse, stream: bool) -> tuple[str, str]:
    """The text, and why it ended."""
    assert answer.status == 200, answer.body
    if stream:
        parts = chunks(answer.body)
        return text_of(parts), parts[-1]["choices"][0]["finish_reason"]
    choice = answer.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("seed", range(4))
def test_an_answer_is_bound_by_its_schema(embedded: Gateway, stream: bool, seed: int) -> None:
    text, finish = said(
        ask(embedded, by_schema(PERSON), stream=stream, seed=seed, temperature=1.5, max_tokens=200), stream
    )
    assert finish == "stop"
    person = json.loads(text)
    assert set(person) == {"name", "age", "sex"}
    assert len(person["name"]) <= 12
    assert 18 <= person["age"] <= 99
    assert person["sex"] in ("f", "m")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_json_mode_gives_an_object(embedded: Gateway, stream: bool) -> None:
    forced = {"logit_bias": {}}  # nothing helps it but the grammar
    text, finish = said(
        ask(embedded, {"type": "json_object"}, stream=stream, max_tokens=3000, **forced), stream
    )
    assert text.startswith("{")
    assert finish in ("stop", "length")
    if finish == "stop":
        assert isinstance(json.loads(text), dict)


def test_a_pattern_binds(embedded: Gateway) -> None:
    text, _ = said(ask(embedded, by_schema(TEXT | {"pattern": "^[0-9]{3}-[x-z]+$"}), max_tokens=60), False)
    number, _, letters = json.loads(text).partition("-")
    assert number.isdecimal()
    assert len(number) == 3
    assert set(letters) <= set("xyz")


def chain(link: str) -> dict[str, Any]:
    defs: dict[str, Any] = {f"a{at}": {link: [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(25)}
    return {"$defs": defs | {"a25": TEXT}, "$ref": "#/$defs/a0"}


AGAIN = {"$ref": "#/$defs/n"}
HOSTILE: dict[str, Any] = {
    "lengths": TEXT | {"minLength": 5, "maxLength": 2},
    "items": {"type": "array", "items": {}, "minItems": 5, "maxItems": 2},
    "a counter that goes down": TEXT | {"pattern": "^a{5,2}$"},
    "repeated repeats": TEXT | {"pattern": "^(.{0,1000}){0,1000}$"},
    "optional in a row": TEXT | {"pattern": "^(a?){100}a{100}$"},
    "no integer": {"type": "integer", "minimum": 5, "maximum": 1},
    "alternatives of alternatives": chain("anyOf"),
    "pairs of pairs": chain("prefixItems"),
    "all of all": chain("allOf"),
    "alike, and again": {
        "$defs": {"n": {"anyOf": [{"type": "array", "items": AGAIN, "minItems": 1}] * 2}}, "$ref": "#/$defs/n",
    },
    "a thousand properties": {"type": "object", "properties": {f"p{at}": TEXT for at in range(1000)}},
    "five thousand values": {"enum": [str(at) for at in range(5000)]},
    "a million items": {"type": "array", "items": TEXT, "minItems": 10**6},
    "nested counts": {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900, "items": {}}},
    "itself": {"$ref": "#"},
    "round and round": {"$defs": {"n": AGAIN}, "$ref": "#/$defs/n"},
    "a file": {"$ref": "file:///etc/passwd"},
    "a strange key": {"type": "object", "properties": {'"\n::= \x00 root': TEXT}},
    "no schema": True,
}  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("way", ["answer", "tool"])
def test_a_hostile_schema_leaves_the_engine_to_others(embedded: Gateway, schema: Any, way: str) -> None:
    if way == "answer":
        answer = ask(embedded, by_schema(schema))
    else:
        tool = {
            "type": "function",
            "function": {"name": "f", "parameters": schema if schema is not True else {}},
        }
        answer = ask(embedded, {"type": "text"}, tools=[tool], tool_choice="required")
    assert answer.status in (200, 400), answer.body
    if answer.status == 400:
        assert answer.json()["error"]["code"]
    assert ask(embedded, {"type": "text"}, max_tokens=4).status == 200


def test_a_schema_must_be_there(embedded: Gateway) -> None:
    for form in ({"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "x"}}):
        error = ask(embedded, form).json()["error"]
        assert (error["code"], error["param"]) == ("missing_field", "response_format.json_schema.schema")


numbers = st.integers(-3, 12) | st.sampled_from([0.5, 10**18, -(10**18), 2500])
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", ["string", "null"]]),
        "minimum": numbers, "maximum": numbers, "exclusiveMinimum": numbers, "minLength": numbers,
        "maxLength": numbers, "minItems": numbers, "maxItems": numbers,
        "pattern": st.text("^$ab.[]()*+?{1,2}|\\", max_size=12).map(lambda text: f"^{text}$"),
        "format": st.sampled_from(["date", "time", "uuid", "x"]),
        "enum": st.lists(st.sampled_from([1, "a", None, [], {}]), max_size=3),
        "const": st.sampled_from([1, "a", None, {"a": 1}]),
        "$ref": st.sampled_from(["#", "#/$defs/a", "#/properties/a", "#/anyOf/0", "#/items", "#/$defs/missing"]),
    },
)  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda base, more: base | more,
        leaves,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
                "required": st.lists(st.sampled_from("abcd"), max_size=3),
                "additionalProperties": st.booleans() | inner,
                "items": inner, "prefixItems": st.lists(inner, max_size=2), "anyOf": st.lists(inner, max_size=3),
                "oneOf": st.lists(inner, max_size=2), "allOf": st.lists(inner, max_size=2),
                "$defs": st.fixed_dictionaries({"a": inner}),
            },
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schema=schemas)
def test_any_schema_leaves_the_engine_to_others(embedded: Gateway, schema: Any) -> None:
    """A stalled engine would answer nobody: then reading times out."""
    assert ask(embedded, by_schema(schema), max_tokens=12).status in (200, 400, 500)
    assert ask(embedded, {"type": "text"}, max_tokens=1).status == 200
