"""What a chat request may not say: status 400, the field's path as `param`, one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError

SAID = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def refusal_of(text: bytes) -> BadRequestError:
    with pytest.raises(BadRequestError) as refusal:
        parse_chat_request(text)
    error = refusal.value
    assert error.status_code == 400
    assert error.error_type == "invalid_request_error"
    assert error.message.endswith(".")
    assert "\n" not in error.message
    return error


def text_of(fields: dict[str, Any]) -> bytes:
    return json.dumps({"model": "m", "messages": SAID} | fields).encode()


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [*SAID, fields]}


def tools(*items: Any) -> dict[str, Any]:
    return {"tools": list(items)}


CASES: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": 1}),
    ("model", {"model": None}),
    ("model", {"model": ""}),
    ("model", {"model": ["m"]}),
    ("model", {"model": "m" * 257}),
    ("messages", {"messages": "hi"}),
    ("messages", {"messages": {}}),
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages[0]", {"messages": ["hi"]}),
    ("messages[0]", {"messages": [None]}),
    ("messages[0].role", {"messages": [{"content": "hi"}]}),
    ("messages[0].role", {"messages": [{"role": "nobody", "content": "hi"}]}),
    ("messages[0].role", {"messages": [{"role": 1, "content": "hi"}]}),
    ("messages[0].role", {"messages": [{"role": None, "content": "hi"}]}),
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[1].content", message(role="user", content=None)),
    ("messages[1].content", message(role="user", content=1)),
    ("messages[1].content", message(role="system", content={})),
    ("messages[1].content", message(role="system", content=None)),
    ("messages[1].content", message(role="assistant", content=5)),
    ("messages[1].content", message(role="tool", tool_call_id="x")),
    ("messages[1].content[0]", message(role="user", content=["hi"])),
    ("messages[1].content[0].type", message(role="user", content=[{"text": "hi"}])),
    ("messages[1].content[0].type", message(role="user", content=[{"type": 1}])),
    (
        "messages[1].content[1].text",
        message(role="user", content=[{"type": "x"}, {"type": "text", "text": 1}]),
    ),
    ("messages[1].tool_call_id", message(role="tool", content="42")),
    ("messages[1].tool_call_id", message(role="tool", content="42", tool_call_id=1)),
    ("messages[1].name", message(role="function", content="42")),
    ("messages[1].reasoning_content", message(role="assistant", content="", reasoning_content=1)),
    ("messages[1].prefix", message(role="assistant", content="", prefix="yes")),
    ("messages[1].tool_calls", message(role="assistant", content="", tool_calls={})),
    ("stream", {"stream": "true"}),
    ("stream", {"stream": 1}),
    ("stream_options", {"stream": True, "stream_options": []}),
    ("stream_options", {"stream_options": {"include_usage": True}}),
    ("stream_options", {"stream": False, "stream_options": {}}),
    ("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": 1}}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": -1}),
    ("max_tokens", {"max_tokens": 393_217}),
    ("max_tokens", {"max_tokens": 1.5}),
    ("max_tokens", {"max_tokens": "10"}),
    ("max_tokens", {"max_tokens": True}),
    ("max_completion_tokens", {"max_completion_tokens": 0}),
    ("max_completion_tokens", {"max_completion_tokens": 393_217}),
    ("temperature", {"temperature": -0.1}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": "hot"}),
    ("temperature", {"temperature": True}),
    ("top_p", {"top_p": 0}),
    ("top_p", {"top_p": 1.01}),
    ("top_p", {"top_p": []}),
    ("n", {"n": 0}),
    ("n", {"n": 129}),
    ("n", {"n": "1"}),
    ("stop", {"stop": 1}),
    ("stop", {"stop": ""}),
    ("stop", {"stop": {}}),
    ("stop", {"stop": [str(number) for number in range(17)]}),
    ("stop[1]", {"stop": ["a", 1]}),
    ("stop[0]", {"stop": [""]}),
    ("frequency_penalty", {"frequency_penalty": 2.5}),
    ("frequency_penalty", {"frequency_penalty": "0"}),
    ("presence_penalty", {"presence_penalty": -2.5}),
    ("logprobs", {"logprobs": 1}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": -1}),
    ("top_logprobs", {"top_logprobs": 5}),
    ("top_logprobs", {"logprobs": False, "top_logprobs": 5}),
    ("logit_bias", {"logit_bias": []}),
    ("logit_bias", {"logit_bias": {"1": 101}}),
    ("logit_bias", {"logit_bias": {"1": "x"}}),
    ("seed", {"seed": 1.5}),
    ("seed", {"seed": "1"}),
    ("thinking", {"thinking": True}),
    ("thinking", {"thinking": "enabled"}),
    ("thinking.type", {"thinking": {}}),
    ("thinking.type", {"thinking": {"type": "on"}}),
    ("reasoning_effort", {"reasoning_effort": "huge"}),
    ("reasoning_effort", {"reasoning_effort": 3}),
    ("response_format", {"response_format": "json_object"}),
    ("response_format.type", {"response_format": {}}),
    ("response_format.type", {"response_format": {"type": "xml"}}),
    ("response_format.json_schema", {"response_format": {"type": "json_schema", "json_schema": 1}}),
    ("tools", {"tools": {}}),
    ("tools", tools(*[{"type": "function", "function": {"name": f"f{number}"}} for number in range(129)])),
    ("tools", tools(TOOL, {"type": "function", "function": {"name": "g"}}, TOOL)),
    ("tools[0]", tools("f")),
    ("tools[0].type", tools({"type": "web_search"})),
    ("tools[0].function", tools({"type": "function"})),
    ("tools[0].type", tools({"function": {"name": "f"}})),
    ("tools[1].function.name", tools(TOOL, {"type": "function", "function": {}})),
    ("tools[0].function.name", tools({"type": "function", "function": {"name": ""}})),
    ("tools[0].function.name", tools({"type": "function", "function": {"name": 1}})),
    ("tools[0].function.parameters", tools({"type": "function", "function": {"name": "f", "parameters": 1}})),
    ("tools[0].function.strict", tools({"type": "function", "function": {"name": "f", "strict": 1}})),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "always"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": 1}),
    ("functions", {"functions": "f"}),
    ("function_call", {"function_call": 1}),
    ("parallel_tool_calls", {"parallel_tool_calls": "no"}),
    ("user_id", {"user_id": "u" * 513}),
    ("user_id", {"user_id": 7}),
    ("user", {"user": 7}),
]


@pytest.mark.parametrize(("param", "fields"), CASES, ids=[f"{at}-{case[0]}" for at, case in enumerate(CASES)])
def test_refused_with_the_field_s_path(param: str, fields: dict[str, Any]) -> None:
    assert refusal_of(text_of(fields)).param == param


@pytest.mark.parametrize(
    ("text", "param"),
    [
        (b'{"messages":[{"role":"user","content":"hi"}]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b"{}", "model"),
    ],
)
def test_what_is_required(text: bytes, param: str) -> None:
    error = refusal_of(text)
    assert (error.param, error.code) == (param, "missing_field")
    assert "required" in error.message


NOT_OBJECTS = [
    b"",
    b" ",
    b"hello",
    b"[]",
    b'"x"',
    b"1",
    b"null",
    b"true",
    b"\xef\xbb\xbf{}",
    b"{",
    b'{"model"',
    b"{,}",
]
NOT_JSON = [
    b'{"model":"m","messages":[{"role":"user","content":"hi"}]}x',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],}',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":NaN}',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"top_p":01}',
    b'{"model":"m","messages":[{"role":"user","content":"a\nb"}]}',
    b'{"model":"m","messages":[{"role":"user","content":"\\x41"}]}',
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":"\\ud800"}',
    b"{'model':'m'}",
    b'{"model":"m",/**/"messages":[]}',
]


@pytest.mark.parametrize("text", [*NOT_OBJECTS, *NOT_JSON])
def test_what_is_not_one_json_object(text: bytes) -> None:
    error = refusal_of(text)
    assert error.code == "invalid_json"
    assert error.param is None


def test_nesting_and_utf8_are_judged_first() -> None:
    assert refusal_of(b"[" * 100_000).code == "nested_too_deeply"
    assert refusal_of(b'{"model":"\xff"').code == "invalid_utf8"


def test_doubled_keys_are_named() -> None:
    error = refusal_of(
        b'{"stream":true,"model":"m","messages":[{"role":"user","content":"x"}],"stream":false}'
    )
    assert (error.param, error.code) == ("stream", "duplicate_key")


def test_a_doubled_function_name_is_quoted() -> None:
    assert '"f"' in refusal_of(text_of(tools(TOOL, TOOL))).message


@pytest.mark.parametrize("depth", [100, 127])
def test_nesting_below_the_limit_never_troubles_the_reader(depth: int) -> None:
    deep = (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":' + b"[" * depth + b"]" * depth + b"}"
    )
    assert parse_chat_request(deep).model == "m"


def test_a_deep_value_in_a_known_key_is_a_wrong_type() -> None:
    assert refusal_of(b'{"model":' + b"[" * 120 + b"]" * 120 + b',"messages":[]}').param == "model"
