"""What a chat request may say: everything in the official service's description is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.wire.chat_request import MAX_TOKENS, AssistantMessage, ToolMessage, parse_chat_request
from abyssal.wire.errors import BadRequestError

SAID = [{"role": "user", "content": "hi"}]
FUNCTION = {"name": "f", "description": "does it", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "call_00_x", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "deepseek-chat", "messages": SAID, **fields}).encode()


ACCEPTED: dict[str, dict[str, Any]] = {
    "the least": {},
    "system": {"messages": [{"role": "system", "content": "be brief"}, *SAID]},
    "developer": {"messages": [{"role": "developer", "content": "be brief"}, *SAID]},
    "named speaker": {"messages": [{"role": "user", "content": "hi", "name": "ada"}]},
    "empty content": {"messages": [{"role": "user", "content": ""}]},
    "no content parts": {"messages": [{"role": "user", "content": []}]},
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
                    },
                    {"type": "file", "file": {"file_id": "file-api-1"}},
                ],
            }
        ]
    },
    "assistant turn": {"messages": [*SAID, {"role": "assistant", "content": "hello"}, *SAID]},
    "assistant without content": {
        "messages": [*SAID, {"role": "assistant", "content": None, "tool_calls": [CALL]}, *SAID]
    },
    "assistant that leaves content out": {"messages": [*SAID, {"role": "assistant", "tool_calls": [CALL]}]},
    "reasoning sent back": {
        "messages": [*SAID, {"role": "assistant", "content": "hello", "reasoning_content": "hm"}, *SAID]
    },
    "chat prefix": {"messages": [*SAID, {"role": "assistant", "content": "```python\n", "prefix": True}]},
    "tool result": {
        "messages": [
            *SAID,
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "42", "tool_call_id": "call_00_x"},
        ]
    },
    "old function result": {"messages": [*SAID, {"role": "function", "name": "f", "content": "42"}]},
    "stream": {"stream": True},
    "stream with usage": {"stream": True, "stream_options": {"include_usage": True}},
    "stream without usage": {"stream": True, "stream_options": {"include_usage": False}},
    "stream options of others": {"stream": True, "stream_options": {"include_usage": True, "x": 1}},
    "no stream": {"stream": False},
    "thinking on": {"thinking": {"type": "enabled"}},
    "thinking off": {"thinking": {"type": "disabled"}},
    "thinking with a budget": {"thinking": {"type": "enabled", "budget_tokens": 1000}},
    "one token": {"max_tokens": 1},
    "most tokens": {"max_tokens": 393_216},
    "max_completion_tokens": {"max_completion_tokens": 393_216},
    "text": {"response_format": {"type": "text"}},
    "JSON mode": {"response_format": {"type": "json_object"}},
    "JSON schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
    "one stop": {"stop": "\n"},
    "16 stops": {"stop": [str(number) for number in range(16)]},
    "no stop in a list": {"stop": []},
    "coldest": {"temperature": 0},
    "hottest": {"temperature": 2.0},
    "top_p": {"top_p": 0.0001},
    "top_p whole": {"top_p": 1},
    "penalties": {"frequency_penalty": -2, "presence_penalty": 2.0},
    "logprobs": {"logprobs": True, "top_logprobs": 20},
    "no top logprobs": {"logprobs": True, "top_logprobs": 0},
    "logit bias": {"logit_bias": {"50256": -100, "1": 100.0}},
    "seed": {"seed": -(2**63)},
    "several answers": {"n": 128},
    "tool": {"tools": [TOOL]},
    "128 tools": {
        "tools": [{"type": "function", "function": {"name": f"f{number}"}} for number in range(128)]
    },
    "strict tool": {"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]},
    "no tools": {"tools": []},
    "tool choice none": {"tools": [TOOL], "tool_choice": "none"},
    "tool choice auto": {"tools": [TOOL], "tool_choice": "auto"},
    "tool choice required": {"tools": [TOOL], "tool_choice": "required"},
    "named tool choice": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    "parallel tools": {"tools": [TOOL], "parallel_tool_calls": False},
    "old functions": {"functions": [FUNCTION], "function_call": "auto"},
    "old named function": {"functions": [FUNCTION], "function_call": {"name": "f"}},
    "user_id": {"user_id": "u" * 512},
    "user": {"user": "u" * 2000},
    "unknown keys": {"top_k": 40, "min_p": 0.1, "guided_json": {"a": [1]}, "x" * 1000: None},
}


@pytest.mark.parametrize("fields", list(ACCEPTED.values()), ids=list(ACCEPTED))
def test_accepted(fields: dict[str, Any]) -> None:
    request = parse_chat_request(body(**fields))
    assert request.model == "deepseek-chat"
    for key in fields.keys() & {"stream", "max_tokens", "stop", "user_id", "n", "temperature", "seed"}:
        assert getattr(request, key) == fields[key]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"])
def test_every_reasoning_effort_is_known(effort: str) -> None:
    assert parse_chat_request(body(reasoning_effort=effort)).reasoning_effort == effort


NULLABLE = [
    "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop",
    "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "logit_bias", "seed", "thinking",
    "reasoning_effort", "response_format", "tools", "tool_choice", "functions", "function_call",
    "parallel_tool_calls", "user_id", "user",
]  # fmt: skip


@pytest.mark.parametrize("field", NULLABLE)
def test_null_is_as_good_as_nothing(field: str) -> None:
    assert getattr(parse_chat_request(body(**{field: None})), field) is None


def test_messages_are_told_apart_by_role() -> None:
    request = parse_chat_request(body(**ACCEPTED["tool result"]))
    assert isinstance(request.messages[1], AssistantMessage)
    assert isinstance(request.messages[2], ToolMessage)
    assert request.messages[2].tool_call_id == "call_00_x"


def test_the_most_tokens_are_the_official_service_s() -> None:
    assert MAX_TOKENS == 384 * 1024


@pytest.mark.parametrize("space", [b"", b" ", b"\r\n\t "])
def test_white_space_around_the_object(space: bytes) -> None:
    assert parse_chat_request(space + body() + space).model == "deepseek-chat"


def test_keys_may_be_spelled_with_escapes() -> None:
    spelled = b'{"\\u006dodel":"m","messages":[{"role":"user","content":"hi"}],"\\u0073tream":true}'
    request = parse_chat_request(spelled)
    assert (request.model, request.stream) == ("m", True)


def test_a_long_list_of_messages_is_taken() -> None:
    assert len(parse_chat_request(body(messages=SAID * 5000)).messages) == 5000


@pytest.mark.parametrize("digits", [20, 5000])
def test_an_integer_of_any_size_in_an_unknown_key_is_the_upstream_s_matter(digits: int) -> None:
    text = body(x=0, y="\u00e9").replace(b'"x": 0', b'"x": ' + b"9" * digits)
    assert parse_chat_request(text).model == "deepseek-chat"


def test_an_integer_of_any_size_in_a_known_key_is_refused_or_taken() -> None:
    text = body(seed=0).replace(b'"seed": 0', b'"seed": ' + b"9" * 5000)
    with pytest.raises(BadRequestError) as refusal:
        parse_chat_request(text)
    assert refusal.value.param == "seed"
