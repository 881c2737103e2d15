"""A turn has one digest, however a client writes it down again."""

from __future__ import annotations

from typing import Any

import pytest

from abyssal.gateway.repairs.turns import turn_digest

CALL = ("get_weather", '{"city":"北京","days":2}')

SAME: list[tuple[Any, list[tuple[str, str]], Any, list[tuple[str, str]]]] = [
    (None, [CALL], "", [CALL]),
    (None, [CALL], [], [CALL]),
    ("ab", [], [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], []),
    ("", [CALL], "", [("get_weather", '{ "days": 2, "city": "\\u5317\\u4eac" }')]),
    ("", [("f", "not JSON")], None, [("f", "not JSON")]),
]
OTHER: list[tuple[Any, list[tuple[str, str]]]] = [
    ("a", [CALL]),
    (None, []),
    (None, [CALL, CALL]),
    (None, [("get_weather", '{"city":"北京","days":3}')]),
    (None, [("other", CALL[1])]),
    (None, [("get_weather", "")]),
    (["strange", {"text": 5}], []),
]


@pytest.mark.parametrize(("content", "calls", "other", "others"), SAME)
def test_the_same_turn(content: Any, calls: Any, other: Any, others: Any) -> None:
    assert turn_digest(content, calls) == turn_digest(other, others)


def test_different_turns() -> None:
    digests = [turn_digest(None, [CALL])] + [turn_digest(*turn) for turn in OTHER if turn != OTHER[-1]]
    assert len(set(digests)) == len(digests)
    assert turn_digest(*OTHER[-1]) == turn_digest(None, [])


def test_text_that_is_no_unicode_is_no_trouble() -> None:
    assert turn_digest("\ud800", []) != turn_digest("", [])


def test_arguments_that_nest_endlessly_are_no_trouble() -> None:
    assert turn_digest(None, [("f", "[" * 100_000)]) != turn_digest(None, [("f", "[")])
