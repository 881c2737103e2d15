"""Usage is read in both styles, and what makes no sense is as good as none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from abyssal.wire.usage import TokenUsage, usage_of_answer, usage_of_events

OFFICIAL = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_cache_hit_tokens": 16,
    "prompt_cache_miss_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
OPENAI = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
}


def answer(usage: Any) -> bytes:
    return json.dumps({"id": "x", "choices": [], "usage": usage}).encode()


@pytest.mark.parametrize("usage", [OFFICIAL, OPENAI])
def test_both_styles(usage: dict[str, Any]) -> None:
    found = usage_of_answer(answer(usage))
    assert found is not None
    counts = (found.prompt_tokens, found.completion_tokens, found.total_tokens)
    assert counts == (20, 7, 27)
    assert (found.cached_tokens, found.reasoning_tokens) == (16, 3)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1},
        {"prompt_tokens": 1, "prompt_tokens_details": None, "completion_tokens_details": None},
        {"prompt_tokens": 1, "prompt_tokens_details": {}, "completion_tokens_details": {}},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": None}},
        {"prompt_tokens": 1, "prompt_cache_hit_tokens": None},
    ],
)
def test_what_is_left_out_is_zero(usage: dict[str, Any]) -> None:
    found = usage_of_answer(answer(usage))
    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens) == (1, 0)
    assert (found.cached_tokens, found.reasoning_tokens) == (0, 0)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        [],
        {"prompt_tokens": None},
        {"prompt_tokens": "12"},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": -1},
        {"completion_tokens": 10**30},
        {"completion_tokens": 2**63},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -5}},
    ],
)
def test_usage_that_makes_no_sense_is_none_and_the_answer_is_still_an_answer(usage: Any) -> None:
    assert usage_of_answer(answer(usage)) is None
    assert usage_of_events(b"data: " + answer(usage) + b"\n\n") is None


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'"x"', b'{"usage":', b"null"])
def test_what_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        usage_of_answer(body)


def events(*usages: Any, end: bytes = b"\n\n") -> bytes:
    return b"".join(b"data: " + answer(usage) + end for usage in usages) + b"data: [DONE]" + end


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_the_last_usage_of_a_stream_counts(end: bytes) -> None:
    stream = events(None, {"prompt_tokens": 1}, {"prompt_tokens": 2}, None, end=end)
    assert usage_of_events(stream) == TokenUsage(prompt_tokens=2)


def test_text_about_usage_is_not_usage() -> None:
    said = json.dumps({"choices": [{"delta": {"content": 'data: {"usage":{"prompt_tokens":9}}'}}]}).encode()
    assert usage_of_events(b"data: " + said + b"\n\n") is None
    assert usage_of_events(b': {"usage":{"prompt_tokens":9}}\n\n') is None
    assert usage_of_events(b'data: {"usage" broken\n\n') is None
