"""The end of a large answer: its usage is found, and nothing that only looks like it."""

from __future__ import annotations

import json

import pytest

from abyssal.gateway.relay.tail import AnswerTail

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def found(content: bytes, size: int = 1000) -> tuple[int, int] | None:
    tail = AnswerTail()
    for start in range(0, len(content), size):
        tail.take(content[start : start + size])
    usage = tail.usage()
    return None if usage is None else (usage.prompt_tokens, usage.completion_tokens)


def answer(usage: object, text: str = "x" * 50_000, **more: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], "usage": usage, **more}).encode()


@pytest.mark.parametrize("size", [1, 997, 1_000_000])
def test_usage_at_the_end_is_found_however_it_came(size: int) -> None:
    assert found(answer(USAGE), size) == (5, 7)
    assert found(answer(USAGE, system_fingerprint="fp", timings={"a": 1}), size) == (5, 7)


def test_blanks_and_letters_of_any_script_are_no_hindrance() -> None:
    text = json.dumps({"content": "你" * 9000, "usage": USAGE}, ensure_ascii=False, indent=4)
    assert found(text.replace('"usage": ', '"usage"\n :\t').encode()) == (5, 7)


def test_a_quoted_usage_is_text() -> None:
    assert found(answer(USAGE, text="x" * 50_000 + '"usage": {"prompt_tokens": 1}')) == (5, 7)
    quoted = {"content": "y" * 50_000, "end": '"usage": {"prompt_tokens": 1}'}
    assert found(json.dumps(quoted).encode()) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'"usage"',
        b'"usage":',
        b'{"usage": nothing}',
        b'{"usage": {"prompt_tokens": 1',
        b'{"usage": "none"}',
        b'{"usage": {"prompt_tokens": -1}}',
        b'{"usage": {"prompt_tokens": 1e400}}',
        b'{"usage": ' + b"[" * 8000,
        b'{"usage": \xff\xfe}',
        answer(USAGE, padding="z" * 20_000),
    ],
)
def test_what_makes_no_sense_is_no_usage(content: bytes) -> None:
    assert found(content) is None
