"""DeepSeek's markup for tool calls: what is one, and what only looks like it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.repairs.tool_markup import begins_markup, parse_markup, split_at_markup

B, E = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"


def v3(name: str, arguments: str) -> str:
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"


def v31(name: str, arguments: str) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


def dsml(name: str, body: str, block: str = "function_calls") -> str:
    return f'<｜DSML｜{block}>\n<｜DSML｜invoke name="{name}">\n{body}\n</｜DSML｜invoke>\n</｜DSML｜{block}>'


CITY = '<｜DSML｜parameter name="city" string="true">北京</｜DSML｜parameter>'
DAYS = '<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>'
ARGUMENTS = {"city": "北京", "days": 2}
TEXT = json.dumps(ARGUMENTS, ensure_ascii=False)

CALLS: dict[str, tuple[str, list[tuple[str, dict[str, object]]]]] = {
    "V3": (B + v3("f", TEXT) + E, [("f", ARGUMENTS)]),
    "V3, two": (B + v3("f", TEXT) + "\n" + v3("g", "{}") + E, [("f", ARGUMENTS), ("g", {})]),
    "V3.1": (B + v31("f", TEXT) + E, [("f", ARGUMENTS)]),
    "V3.1, two": (B + v31("f", TEXT) + v31("g", "{}") + E, [("f", ARGUMENTS), ("g", {})]),
    "without its end": (B + v31("f", TEXT), [("f", ARGUMENTS)]),
    "without its beginning": (v31("f", TEXT) + "\n", [("f", ARGUMENTS)]),
    "in ASCII": ((B + v31("f", TEXT) + E).replace("｜", "|").replace("▁", "_"), [("f", ARGUMENTS)]),
    "V3.2": (dsml("f", CITY + "\n" + DAYS), [("f", ARGUMENTS)]),
    "V4": (dsml("f", CITY + DAYS, "tool_calls"), [("f", ARGUMENTS)]),
    "V3.2 with JSON": (dsml("f", TEXT), [("f", ARGUMENTS)]),
    "V3.2 without arguments": (dsml("f", ""), [("f", {})]),
    "V3.2 in ASCII": (dsml("f", CITY + DAYS).replace("｜", "|"), [("f", ARGUMENTS)]),
    "markup in arguments": (B + v31("f", '{"a": "<b>"}') + E, [("f", {"a": "<b>"})]),
}
NO_CALLS = {
    "cut in the middle": B + v31("f", TEXT)[:-30],
    "arguments that are no JSON": B + v31("f", "{city}") + E,
    "arguments that are no object": B + v31("f", "[1]") + E,
    "no name": B + v31("", TEXT) + E,
    "text behind": B + v31("f", TEXT) + E + " and so on",
    "nothing in it": B + E,
    "one good, one bad": B + v31("f", TEXT) + v31("g", "x") + E,
    "V3.2 cut": dsml("f", CITY)[:-40],
    "V3.2 with text": dsml("f", CITY + " hm"),
    "nested endlessly": B + v31("f", "[" * 100_000) + E,
}


@pytest.mark.parametrize(("text", "calls"), CALLS.values(), ids=CALLS)
def test_calls(text: str, calls: list[tuple[str, dict[str, object]]]) -> None:
    assert begins_markup(text)
    assert [(name, json.loads(arguments)) for name, arguments in parse_markup(text)] == calls
    assert split_at_markup("Let me see. " + text) == ("Let me see. ", text)


@pytest.mark.parametrize("text", NO_CALLS.values(), ids=NO_CALLS)
def test_no_calls(text: str) -> None:
    assert parse_markup(text) == []


@pytest.mark.parametrize(
    "text", ["", "a < b", "<｜User｜>", "<b>", "x<tool_call>", "｜tool▁calls▁begin｜>", "<｜"[:1] + " "]
)
def test_other_text(text: str) -> None:
    assert split_at_markup(text) == (text, "")


@pytest.mark.parametrize("text", [text for text, _ in CALLS.values()], ids=CALLS)
def test_what_may_begin_markup_is_told_at_every_cut(text: str) -> None:
    for at in range(1, 12):
        before, held = split_at_markup("ab" + text[:at])
        assert (before, held) == ("ab", text[:at])


@given(st.text("<｜|tool▁_calsbegin>DSML x", max_size=40))
def test_nothing_is_lost_at_a_cut(text: str) -> None:
    before, held = split_at_markup(text)
    assert before + held == text
    assert not held or held.startswith("<")
