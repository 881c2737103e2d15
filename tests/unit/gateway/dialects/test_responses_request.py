"""A Responses request becomes a chat request; each row is what was sent and what differs of the chat body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.dialects.responses import Responses
from abyssal.wire.chat_request import parse_chat_request

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
ADD = {"type": "function", "name": "add", "description": "Adds.", "parameters": SCHEMA, "strict": True}
SUB = {"type": "function", "name": "sub"}
CHAT_ADD = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA, "strict": True},
}
CHAT_SUB = {"type": "function", "function": {"name": "sub"}}


def chat_of(**fields: Any) -> dict[str, Any]:
    """The chat body for these fields, which the pipeline's own parser takes."""
    body = Responses().read(json.dumps({"model": "m", "input": "hi"} | fields).encode()).body
    parse_chat_request(body)
    return json.loads(body)


def call(call_id: str, name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def chat_call(call_id: str, name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def output(call_id: str, text: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def thought(*texts: str) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": content}


def said(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"stream": True}, {"stream": True}),
    ({"stream": False}, {}),
    ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
    ({"max_output_tokens": 20}, {"max_tokens": 20}),
    ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    ({"temperature": 0}, {"temperature": 0.0}),
    ({"user": "u"}, {"user_id": "u"}),
    ({"user": "u", "safety_identifier": "s"}, {"user_id": "s"}),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    ({"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
    ({"reasoning": None}, {}),
    ({"reasoning": {"effort": None}}, {}),
    ({"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}),
    ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    ({"top_logprobs": 0}, {}),
    ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    ({"include": ["reasoning.encrypted_content"]}, {}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    ({"tools": [ADD, SUB]}, {"tools": [CHAT_ADD, CHAT_SUB]}),
    (
        {"tools": [ADD], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [CHAT_ADD], "tool_choice": "required", "parallel_tool_calls": False},
    ),
    (
        {"tools": [ADD], "tool_choice": {"type": "function", "name": "add"}},
        {"tools": [CHAT_ADD], "tool_choice": {"type": "function", "function": {"name": "add"}}},
    ),
    (
        {
            "tools": [ADD, SUB],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "sub"}],
            },
        },
        {"tools": [CHAT_SUB], "tool_choice": "required"},
    ),
    ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ({"stop": ["x"], "seed": 1}, {"stop": ["x"], "seed": 1}),
    (
        {"store": True, "metadata": {"a": "b"}, "truncation": "auto", "service_tier": "auto"},
        {},
    ),
    ({"previous_response_id": None, "background": False, "conversation": None, "prompt": None}, {}),
    ({"prompt_cache_key": "k", "max_tool_calls": 3, "a_key_of_tomorrow": {"x": 1}}, {}),
]


@pytest.mark.parametrize(("fields", "chat"), FIELDS, ids=lambda value: json.dumps(value)[:60])
def test_fields(fields: dict[str, Any], chat: dict[str, Any]) -> None:
    assert chat_of(**fields) == {"model": "m", "messages": HI} | chat


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}

INPUTS: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("a text", "hello\n", [{"role": "user", "content": "hello\n"}]),
    ("an empty text", "", [{"role": "user", "content": ""}]),
    ("a message without its type", HI, HI),
    (
        "the roles",
        [
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
        ],
        [
            {"role": "system", "content": "d"},
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
        ],
    ),
    ("one text part", [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}], HI),
    (
        "text and image",
        [{"role": "user", "content": [{"type": "input_text", "text": "what?"}, IMAGE]}],
        [{"role": "user", "content": [{"type": "text", "text": "what?"}, CHAT_IMAGE]}],
    ),
    (
        "files",
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "file_id": "file-api-1"},
                    {"type": "input_file", "file_data": "AA==", "filename": "a.pdf"},
                    {"type": "input_image", "file_id": "file-api-2", "detail": "auto"},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"file_id": "file-api-1"}},
                    {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}},
                    {"type": "file", "file": {"file_id": "file-api-2"}},
                ],
            }
        ],
    ),
    (
        "a whole turn with a tool",
        [*HI, thought("Hm", "m."), said("I add."), call("c1"), output("c1", "3"), thought("So."), said("3")],
        [
            *HI,
            {
                "role": "assistant",
                "content": "I add.",
                "reasoning_content": "Hmm.",
                "tool_calls": [chat_call("c1")],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
            {"role": "assistant", "content": "3", "reasoning_content": "So."},
        ],
    ),
    (
        "two calls at once, reasoning between them",
        [*HI, thought("a"), call("c1"), thought("b"), call("c2"), output("c2", "y"), output("c1", "x")],
        [
            *HI,
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "a\nb",
                "tool_calls": [chat_call("c1"), chat_call("c2")],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "y"},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ],
    ),
    (
        "a call, and text after it",
        [*HI, call("c1"), said("wait"), output("c1", "x")],
        [
            *HI,
            {"role": "assistant", "content": "wait", "tool_calls": [chat_call("c1")]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ],
    ),
    (
        "a call between two texts",
        [*HI, said("one"), call("c1"), said("two"), output("c1", "x")],
        [
            *HI,
            {"role": "assistant", "content": "one\ntwo", "tool_calls": [chat_call("c1")]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ],
    ),
    (
        "two messages of the assistant",
        [*HI, said("one"), thought("hm"), said("two")],
        [
            *HI,
            {"role": "assistant", "content": "one"},
            {"role": "assistant", "content": "two", "reasoning_content": "hm"},
        ],
    ),
    (
        "reasoning that says nothing here",
        [*HI, {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"}, said("a")],
        [*HI, {"role": "assistant", "content": "a"}],
    ),
    (
        "a summary where there is no reasoning",
        [{"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "s"}]}, said("a")],
        [{"role": "assistant", "content": "a", "reasoning_content": "s"}],
    ),
    (
        "an answer that was cut while it thought",
        [*HI, thought("hm"), {"role": "user", "content": "go on"}],
        [
            *HI,
            {"role": "assistant", "content": "", "reasoning_content": "hm"},
            {"role": "user", "content": "go on"},
        ],
    ),
    (
        "a refusal",
        [*HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [*HI, {"role": "assistant", "content": "no"}],
    ),
    (
        "a tool's output in parts",
        [call("c1"), output("c1", [{"type": "input_text", "text": "see"}, IMAGE])],
        [
            {"role": "assistant", "content": None, "tool_calls": [chat_call("c1")]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "see"}, CHAT_IMAGE]},
        ],
    ),
]


@pytest.mark.parametrize(("given", "messages"), [row[1:] for row in INPUTS], ids=[row[0] for row in INPUTS])
def test_input(given: Any, messages: list[dict[str, Any]]) -> None:
    assert chat_of(input=given)["messages"] == messages


def test_instructions_come_first() -> None:
    assert chat_of(instructions="Be brief.", input=HI)["messages"] == [
        {"role": "system", "content": "Be brief."},
        *HI,
    ]


def test_what_stands_twice_is_read_once() -> None:
    """The body that goes on is the gateway's own: there is no second value for anybody to read."""
    body = Responses().read(b'{"model":"a","input":"x","model":"b","MODEL":"c","input":"y"}').body
    assert json.loads(body) == {"model": "b", "messages": [{"role": "user", "content": "y"}]}
    assert body.count(b'"model"') == 1
