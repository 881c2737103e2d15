"""What a Responses request may not say: status 400, the path as the client wrote it, one sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.responses import Responses
from abyssal.wire.chat import ChatCompletion
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError, ErrorObject


def refusal_of(body: bytes) -> BadRequestError:
    with pytest.raises(BadRequestError) as refusal:
        Responses().read(body)
    error = refusal.value
    assert (error.status_code, error.error_type) == (400, "invalid_request_error")
    assert error.message.endswith(".")
    assert "\n" not in error.message
    return error


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "hi"}, fields]}


def part(role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"input": [{"role": role, "content": [{"type": "input_text", "text": "hi"}, fields]}]}


FUNCTION = {"type": "function", "name": "f"}
JSON_SCHEMA = {"type": "json_schema", "name": "n", "schema": {}}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("model", "missing_field", {"model": ...}),
    ("model", "invalid_value", {"model": 1}),
    ("model", "invalid_value", {"model": ""}),
    ("input", "missing_field", {"input": ...}),
    ("input", "invalid_value", {"input": None}),
    ("input", "invalid_value", {"input": []}),
    ("input", "invalid_value", {"input": {"role": "user"}}),
    ("input[0]", "invalid_value", {"input": ["hi"]}),
    ("input[1].role", "missing_field", item(content="hi")),
    ("input[1].role", "invalid_value", item(role="tool", content="hi")),
    ("input[1].content", "missing_field", item(role="user")),
    ("input[1].content", "missing_field", item(role="assistant")),
    ("input[1].content", "invalid_value", item(role="user", content=1)),
    ("input[1].type", "invalid_value", item(type=1)),
    ("input[1].type", "unsupported_value", item(type="web_search_call", id="ws_1")),
    ("input[1].type", "unsupported_value", item(type="tool_search_call", arguments={"a": 1})),
    ("input[1].type", "unsupported_value", item(type="shell_call_output", output=[{"stdout": ""}])),
    ("input[1]", "unsupported_parameter", item(type="item_reference", id="msg_1")),
    ("input[1].call_id", "missing_field", item(type="function_call", name="f", arguments="")),
    ("input[1].name", "missing_field", item(type="function_call", call_id="c", arguments="")),
    ("input[1].arguments", "missing_field", item(type="function_call", call_id="c", name="f")),
    (
        "input[1].arguments",
        "invalid_value",
        item(type="function_call", call_id="c", name="f", arguments={}),
    ),
    ("input[1].call_id", "missing_field", item(type="function_call_output", output="x")),
    ("input[1].output", "missing_field", item(type="function_call_output", call_id="c")),
    ("input[0].content[1].type", "missing_field", part(text="x")),
    ("input[0].content[1].text", "missing_field", part(type="input_text")),
    ("input[0].content[1].text", "invalid_value", part(type="input_text", text=1)),
    ("input[0].content[1].type", "unsupported_content", part(type="input_audio")),
    ("input[0].content[1].type", "unsupported_content", part("assistant", type="input_image", image_url="u")),
    ("input[0].content[1].image_url", "missing_field", part(type="input_image")),
    ("input[0].content[1].file_id", "missing_field", part(type="input_file", filename="a")),
    ("input[0].content[1].file_url", "unsupported_parameter", part(type="input_file", file_url="http://x")),
    ("input[0].content[1].refusal", "missing_field", part("assistant", type="refusal")),
    ("instructions", "invalid_value", {"instructions": ["be nice"]}),
    ("max_output_tokens", "invalid_value", {"max_output_tokens": 0}),
    ("max_output_tokens", "invalid_value", {"max_output_tokens": 393_217}),
    ("max_output_tokens", "invalid_value", {"max_output_tokens": 1.5}),
    ("temperature", "invalid_value", {"temperature": "hot"}),
    ("stream", "invalid_value", {"stream": "yes"}),
    ("store", "invalid_value", {"store": "no"}),
    ("tools", "invalid_value", {"tools": {}}),
    ("tools[0].type", "missing_field", {"tools": [{"name": "f"}]}),
    ("tools[0].name", "missing_field", {"tools": [{"type": "function"}]}),
    ("tools[0].name", "invalid_value", {"tools": [{"type": "function", "name": ""}]}),
    ("tools[0].parameters", "invalid_value", {"tools": [FUNCTION | {"parameters": "{}"}]}),
    ("tools[1].type", "unsupported_value", {"tools": [FUNCTION, {"type": "web_search"}]}),
    ("tools[0].type", "unsupported_value", {"tools": [{"type": "mcp", "server_label": "s"}]}),
    ("tools[0].type", "unsupported_value", {"tools": [{"type": "custom", "name": "c"}]}),
    ("tool_choice", "invalid_value", {"tools": [FUNCTION], "tool_choice": "any"}),
    ("tool_choice.type", "unsupported_value", {"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}),
    ("tool_choice.name", "missing_field", {"tools": [FUNCTION], "tool_choice": {"type": "function"}}),
    ("tool_choice.tools", "invalid_value", {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}),
    (
        "tool_choice.tools",
        "invalid_value",
        {
            "tools": [FUNCTION],
            "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp", "server_label": "x"}]},
        },
    ),
    ("reasoning.effort", "invalid_value", {"reasoning": {"effort": "enormous"}}),
    ("text.format.type", "invalid_value", {"text": {"format": {"type": "xml"}}}),
    ("text.format.name", "missing_field", {"text": {"format": JSON_SCHEMA | {"name": None}}}),
    ("text.format.schema", "missing_field", {"text": {"format": JSON_SCHEMA | {"schema": None}}}),
    ("text.format.schema", "invalid_value", {"text": {"format": JSON_SCHEMA | {"schema": []}}}),
    ("metadata", "invalid_value", {"metadata": []}),
    ("metadata", "invalid_value", {"metadata": {"a": 1}}),
    ("user", "invalid_value", {"user": "u" * 513}),
    ("safety_identifier", "invalid_value", {"safety_identifier": 7}),
    ("top_logprobs", "invalid_value", {"top_logprobs": 21}),
    ("truncation", "invalid_value", {"truncation": "some"}),
    ("include", "invalid_value", {"include": "everything"}),
    ("previous_response_id", "unsupported_parameter", {"previous_response_id": "resp_1"}),
    ("conversation", "unsupported_parameter", {"conversation": {"id": "conv_1"}}),
    ("prompt", "unsupported_parameter", {"prompt": {"id": "pmpt_1"}}),
    ("background", "unsupported_parameter", {"background": True}),
    ("moderation", "unsupported_parameter", {"moderation": {"model": "m"}}),
]


@pytest.mark.parametrize(("param", "code", "fields"), CASES, ids=lambda value: str(value)[:60])
def test_what_is_refused(param: str, code: str, fields: dict[str, Any]) -> None:
    asked = {"model": "m", "input": "hi"} | fields
    body = json.dumps({name: value for name, value in asked.items() if value is not ...}).encode()
    error = refusal_of(body)
    assert (error.param, error.code) == (param, code)
    assert param in error.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"null", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"hi"', "invalid_json"),
        (b'{"model":"m","input":"hi"} x', "invalid_json"),
        (b'{"model":"m","input":"\xff"}', "invalid_utf8"),
        (b'{"model":"m","input":"hi","x":' + b"[" * 200 + b"]" * 200 + b"}", "nested_too_deeply"),
        (b'{"model":"m","input":' + b"[" * 100_000, "nested_too_deeply"),
    ],
)
def test_what_is_no_request(body: bytes, code: str) -> None:
    error = refusal_of(body)
    assert (error.param, error.code) == (None, code)


def test_a_wrong_value_before_the_end_of_json() -> None:
    assert refusal_of(b'{"model":1,"input":').param == "model"


def test_the_exact_words() -> None:
    error = refusal_of(b'{"model":"m","input":"hi","previous_response_id":"resp_1"}')
    assert json.loads(error.as_json()) == {
        "error": {
            "message": '"previous_response_id": responses are not stored here; '
            "send the whole conversation as `input`.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "unsupported_parameter",
        }
    }
    assert refusal_of(b'{"model":"m","input":"hi","tools":[{"type":"web_search"}]}').message == (
        '"tools[0].type": "web_search" is not served here, only "function"; '
        "run other tools yourself as functions."
    )


@pytest.mark.parametrize(
    ("official", "here"),
    [
        ("messages", "input"),
        ("messages[2].content", "input"),
        ("max_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        ("response_format.json_schema", "text.format"),
        ("reasoning_effort", "reasoning.effort"),
        ("user_id", "safety_identifier"),
        ("model", "model"),
        ("tools[0].function.name", "tools[0].function.name"),
        (None, None),
    ],
)
def test_later_refusals_name_the_field_as_the_client_does(official: str | None, here: str | None) -> None:
    written = Responses().refusal(400, ErrorObject("No.", "invalid_request_error", official, "c"))
    assert json.loads(written) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": here, "code": "c"}
    }


WHOLE: dict[str, Any] = {
    "model": "m",
    "instructions": "i",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_file", "file_id": "f"}],
        },
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "o"}]},
        {"role": "assistant", "content": "b"},
    ],
    "tools": [FUNCTION | {"parameters": {"type": "object"}}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]},
    "text": {"format": JSON_SCHEMA},
    "reasoning": {"effort": "low"},
    "metadata": {"a": "b"},
    "include": ["x"],
    "stop": ["s"],
    "thinking": {"type": "enabled"},
    "top_logprobs": 1,
    "user": "u",
}
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
values = st.recursive(
    scalars | st.sampled_from([*WHOLE, "function", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["type", "name", "content", "text"]), inner)
    ),
    max_leaves=6,
)


@given(data=st.data())
def test_one_wrong_value_anywhere_is_taken_or_refused(data: st.DataObject) -> None:
    """Nothing that a client sends is a fault of the gateway's."""
    asked = json.loads(json.dumps(WHOLE))
    place: Any = asked
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(values)
    with suppress(BadRequestError):
        reading = Responses().read(json.dumps(asked).encode())
        reading.writer.answer(ChatCompletion())
        parse_chat_request(reading.body)
