"""Typed chat answers: what is missing, unknown or null, and the way back to JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Message, ModelList, ToolCall

OFFICIAL = {
    "id": "930c60df-bf64-41c9-a88e-3ec75f81e00e",
    "object": "chat.completion",
    "created": 1705651092,
    "model": "deepseek-flash",
    "system_fingerprint": "fp_1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
            "logprobs": {
                "content": [
                    {
                        "token": "4",
                        "logprob": -0.1,
                        "bytes": [52],
                        "top_logprobs": [{"token": "5", "logprob": -3, "bytes": None}],
                    }
                ]
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 16,
        "completion_tokens": 10,
        "total_tokens": 26,
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 7},
    },
}


def read(value: Any, type: Any = ChatCompletion) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value), type=type)


def test_the_official_answer() -> None:
    answer = read(OFFICIAL)
    choice = answer.choices[0]
    assert (choice.message.content, choice.message.reasoning_content) == ("4", "2+2")
    assert choice.logprobs.content[0].top_logprobs[0].token == "5"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 7
    assert answer.usage.prompt_cache_miss_tokens == 16


def test_there_and_back() -> None:
    answer = read(OFFICIAL)
    expected = json.loads(json.dumps(OFFICIAL))
    del expected["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["bytes"]  # null: left out
    assert answer.to_dict() == expected
    assert json.loads(answer.to_json()) == expected
    assert read(answer.to_dict()) == answer


@pytest.mark.parametrize("type", [ChatCompletion, ChatCompletionChunk])
def test_missing_unknown_and_null_fields(type: Any) -> None:
    answer = read({"brand_new": 1, "choices": [{"x": {}}], "usage": None, "system_fingerprint": None}, type)
    choice = answer.choices[0]
    assert choice.index == 0
    assert choice.finish_reason is None
    assert answer.usage is None
    assert answer.object.startswith("chat.completion")


def test_a_message_that_is_sent_back_has_its_role_and_no_nulls() -> None:
    assert Message(content="Hi").to_dict() == {"role": "assistant", "content": "Hi"}
    call = read({"id": "call_00", "function": {"name": "f", "arguments": ""}}, ToolCall)
    assert Message(tool_calls=[call]).to_dict() == {
        "role": "assistant",
        "tool_calls": [
            {"id": "call_00", "type": "function", "function": {"name": "f", "arguments": ""}},
        ],
    }


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read(OFFICIAL).choices[0].message.content = "5"


def test_a_wrong_type_names_its_place() -> None:
    broken = json.loads(json.dumps(OFFICIAL))
    broken["choices"][0]["message"]["content"] = 4
    with pytest.raises(msgspec.ValidationError, match=re.escape("$.choices[0].message.content")):
        read(broken)


def test_models_are_an_iterable() -> None:
    data = [{"id": "a", "object": "model", "owned_by": "b"}, {"id": "c"}]
    models = read({"object": "list", "data": data}, ModelList)
    assert [model.id for model in models] == ["a", "c"]
    assert len(models) == 2
    assert models.to_dict()["data"][1] == {"id": "c", "object": "model"}
