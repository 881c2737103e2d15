"""What an official answer becomes as an Anthropic message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.dialects.anthropic_stream import MessageWriter
from abyssal.wire.chat import ChatCompletion, Choice, FunctionCall, Message, ToolCall, Usage
from abyssal.wire.chat import CompletionTokensDetails as Spent
from abyssal.wire.chat import PromptTokensDetails as Cached


def written(
    message: Message | None = None, finish: str | None = "stop", usage: Usage | None = None, **fields: Any
) -> dict[str, Any]:
    choices = [Choice(message=message or Message(content="hi"), finish_reason=finish)]
    completion = ChatCompletion(**({"choices": choices, "id": "1-2", "usage": usage} | fields))
    return json.loads(MessageWriter("claude-x").answer(completion))


def call(arguments: str) -> ToolCall:
    return ToolCall(id="call_00_a", function=FunctionCall("weather", arguments))


def test_a_text() -> None:
    assert written(model="deepseek-flash", usage=Usage(11, 5, 16)) == {
        "id": "msg_1-2",
        "type": "message",
        "role": "assistant",
        "model": "deepseek-flash",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
        },
    }


def test_an_answer_without_a_model_has_the_name_that_was_asked_for() -> None:
    assert written()["model"] == "claude-x"


def test_thinking_text_and_calls_in_this_order() -> None:
    message = Message(
        content="I look.", reasoning_content="Hm.", tool_calls=[call('{"city": "北京"}'), call("")]
    )
    assert written(message, "tool_calls")["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "1-2"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_00_a", "name": "weather", "input": {"city": "北京"}},
        {"type": "tool_use", "id": "call_00_a", "name": "weather", "input": {}},
    ]


@pytest.mark.parametrize("arguments", ["not json", "[1]", '"x"', '{"a":', "null"])
def test_arguments_that_are_no_object_are_shown(arguments: str) -> None:
    (block,) = written(Message(tool_calls=[call(arguments)]))["content"]
    assert block["input"] == {"INVALID_JSON": arguments}


@pytest.mark.parametrize("message", [Message(), Message(content="", reasoning_content="")])
def test_an_answer_that_says_nothing(message: Message) -> None:
    assert written(message)["content"] == []


def test_an_answer_without_choices() -> None:
    answer = written(choices=[])
    assert (answer["content"], answer["stop_reason"]) == ([], "end_turn")


@pytest.mark.parametrize(
    ("finish", "called", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        (None, False, "end_turn"),
        ("something new", False, "end_turn"),
        ("tool_calls", True, "tool_use"),
        ("length", False, "max_tokens"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "refusal"),
        ("insufficient_system_resource", False, "max_tokens"),
        ("aborted", False, "max_tokens"),
    ],
)
def test_stop_reasons(finish: str | None, called: bool, reason: str) -> None:
    message = Message(tool_calls=[call("{}")]) if called else Message(content="x")
    assert written(message, finish)["stop_reason"] == reason


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (0, 0, 0)),
        (Usage(100, 5, 105, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36), (36, 64, 5)),
        (Usage(100, 5, 105, prompt_tokens_details=Cached(64)), (36, 64, 5)),
        (Usage(100, 5, 105, prompt_tokens_details=Cached()), (100, 0, 5)),
        (Usage(10, 5, 15, prompt_cache_hit_tokens=64), (0, 64, 5)),
    ],
)
def test_usage(usage: Usage | None, expected: tuple[int, int, int]) -> None:
    found = written(usage=usage)["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "output_tokens")
    assert tuple(found[name] for name in names) == expected
    assert "output_tokens_details" not in found


def test_usage_of_thinking() -> None:
    usage = Usage(1, 5, 6, completion_tokens_details=Spent(3))
    assert written(usage=usage)["usage"]["output_tokens_details"] == {"thinking_tokens": 3}
