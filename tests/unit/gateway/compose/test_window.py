"""What a model may see: whole turns go, oldest first; systems stay; calls of tools stay with their results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.compose.window import (
    Message,
    cut,
    from_a_turn_s_beginning,
    messages_of,
    tokens_of,
)
from abyssal.wire.errors import BadRequestError
from abyssal.wire.token_estimate import text_tokens

ROLES = ("system", "developer", "user", "assistant", "tool")


def made(*said: tuple[str, str]) -> list[Message]:
    return messages_of(json.dumps([{"role": role, "content": text} for role, text in said]).encode())


def told(messages: list[Message]) -> list[tuple[str, str]]:
    return [(found["role"], found["content"]) for found in (json.loads(bytes(m.raw)) for m in messages)]


TALK = (
    ("system", "S"), ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "call"),
    ("tool", "result"), ("system", "T"), ("assistant", "a2"), ("user", "q3"),
)  # fmt: skip
OF_A_MESSAGE = 5.0  # tokens: 4 and a little text, whose weight is set below


def weighed(*said: tuple[str, str]) -> list[Message]:
    return [message._replace(tokens=OF_A_MESSAGE) for message in made(*said)]


@pytest.mark.parametrize(
    ("window", "gone"),
    [(45, []), (44, [1, 2]), (35, [1, 2]), (34, [1, 2, 3, 4, 5, 7]), (15, [1, 2, 3, 4, 5, 7])],
)
def test_whole_turns_are_cut_oldest_first(window: int, gone: list[int]) -> None:
    left = [said for index, said in enumerate(TALK) if index not in gone]
    assert told(cut(weighed(*TALK), window, strict=True)) == left


def test_when_the_newest_does_not_fit() -> None:
    with pytest.raises(BadRequestError) as refused:
        cut(weighed(*TALK), 14, strict=True)
    assert (refused.value.param, refused.value.code) == ("context_window", "context_length_exceeded")
    assert "15 tokens" in refused.value.message
    assert told(cut(weighed(*TALK), 14, strict=False)) == [TALK[0], TALK[6], TALK[8]]


def test_what_stands_before_the_first_question_is_the_oldest_turn() -> None:
    talk = (("assistant", "Welcome"), ("user", "q"))
    assert told(cut(weighed(*talk), 9, strict=True)) == [talk[1]]


def test_the_rest_of_a_turn_without_its_beginning_is_nothing() -> None:
    assert told(from_a_turn_s_beginning(made(*TALK[4:]))) == [TALK[8]]
    assert from_a_turn_s_beginning(made(*TALK[4:6])) == []


@given(st.lists(st.tuples(st.sampled_from(ROLES), st.integers(1, 40)), max_size=30), st.integers(0, 400))
def test_properties_of_cutting(sizes: list[tuple[str, int]], window: int) -> None:
    messages = [
        message._replace(tokens=float(size))
        for message, (_, size) in zip(
            made(*((role, str(index)) for index, (role, _) in enumerate(sizes))), sizes, strict=True
        )
    ]
    left = cut(messages, window, strict=False)
    assert [m for m in messages if m in left] == left  # in order, nothing new
    assert [m for m in left if m.is_system] == [m for m in messages if m.is_system]
    said, kept = ([m for m in some if not m.is_system] for some in (messages, left))
    assert said[len(said) - len(kept) :] == kept  # the newest
    if kept != said:
        assert kept[0].role == "user"  # a turn's beginning
        newest = next(index for index in range(len(said) - 1, -1, -1) if said[index].role == "user")
        assert tokens_of(left) <= window or kept == said[newest:]


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "user", "content": "a" * 10}, 7),
        ({"role": "user", "content": "你好"}, 5.2),
        ({"role": "user", "content": "мир"}, 5.2),
        ({"role": "user", "content": [{"type": "text", "text": "a" * 10}, {"type": "image_url"}]}, 1007),
        ({"role": "assistant", "content": None, "reasoning_content": "a" * 10}, 7),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "x", "function": {"name": "aaaaa", "arguments": "aaaaa"}}],
            },
            7,
        ),
    ],
)
def test_what_a_message_comes_to(message: dict[str, Any], tokens: float) -> None:
    for escaped in (True, False):  # however it is spelled
        (found,) = messages_of(json.dumps([message], ensure_ascii=escaped).encode())
        assert found.tokens == pytest.approx(tokens)


def test_a_text_s_estimate_adds_up() -> None:
    assert text_tokens("a" * 100 + "好" * 100) == pytest.approx(90)
