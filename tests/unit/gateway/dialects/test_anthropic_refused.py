"""Requests that are turned away: the field as the client wrote it, and one sentence that helps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.dialects.anthropic import AnthropicMessages
from abyssal.gateway.dialects.anthropic_tokens import count_tokens
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError, ErrorObject

GOOD: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
}
TOOL: dict[str, Any] = {"name": "t", "input_schema": {"type": "object"}}


def refused(body: bytes) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        parse_chat_request(AnthropicMessages().read(body).body)
    return caught.value


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"messages": [*GOOD["messages"], {"role": "assistant", "content": list(blocks)}]}


def image(**source: Any) -> dict[str, Any]:
    return user({"type": "image", "source": source})


def document(**source: Any) -> dict[str, Any]:
    return user({"type": "document", "source": source})


MISSING: list[tuple[dict[str, Any], str]] = [
    ({"model": ...}, "model"),
    ({"max_tokens": ...}, "max_tokens"),
    ({"messages": ...}, "messages"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    (user({"text": "hi"}), "messages[0].content[0].type"),
    (user({"type": "text"}), "messages[0].content[0].text"),
    (user({"type": "image"}), "messages[0].content[0].source"),
    (user({"type": "image", "source": "https://x"}), "messages[0].content[0].source"),
    (image(data="aGk="), "messages[0].content[0].source.type"),
    (image(type="base64", data="aGk="), "messages[0].content[0].source.media_type"),
    (image(type="base64", media_type="image/png"), "messages[0].content[0].source.data"),
    (image(type="url"), "messages[0].content[0].source.url"),
    (image(type="file"), "messages[0].content[0].source.file_id"),
    (document(type="text"), "messages[0].content[0].source.data"),
    (
        document(type="content", content=[{"type": "text", "text": "a"}, {"type": "text"}]),
        "messages[0].content[0].source.content[1].text",
    ),
    (user({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (
        user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}),
        "messages[0].content[0].content[0].text",
    ),
    (assistant({"type": "thinking"}), "messages[1].content[0].thinking"),
    (assistant({"type": "tool_use", "name": "t"}), "messages[1].content[0].id"),
    (assistant({"type": "tool_use", "id": "t"}), "messages[1].content[0].name"),
    ({"system": [{"type": "text"}]}, "system[0].text"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "t"}]}, "tools[0].input_schema"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {}}, "thinking.type"),
]

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": ""}, "model", "expected `str` of length >= 1."),
    ({"model": 5}, "model", "expected `str`, got `int`."),
    ({"max_tokens": 0}, "max_tokens", "expected `int` >= 1."),
    ({"max_tokens": 400_000}, "max_tokens", "expected `int` <= 393216."),
    ({"messages": []}, "messages", "expected `array` of length >= 1."),
    ({"messages": "hi"}, "messages", "expected `array`, got `str`."),
    ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role", "invalid enum value 'tool'."),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "expected `str | array`, got `int`."),
    ({"temperature": 3}, "temperature", "expected `float` <= 2.0."),
    ({"temperature": "hot"}, "temperature", "expected `float | null`, got `str`."),
    ({"top_p": 0}, "top_p", "expected `float` > 0.0."),
    ({"stop_sequences": "END"}, "stop_sequences", "expected `array | null`, got `str`."),
    ({"stop_sequences": [""]}, "stop_sequences[0]", "expected `str` of length >= 1."),
    ({"stop_sequences": ["x"] * 17}, "stop_sequences", "expected `array` of length <= 16."),
    ({"metadata": {"user_id": "x" * 513}}, "metadata.user_id", "expected `str` of length <= 512."),
    ({"stream": "yes"}, "stream", "expected `bool | null`, got `str`."),
    ({"thinking": {"type": "on"}}, "thinking.type", "invalid enum value 'on'."),
    ({"output_config": {"effort": "much"}}, "output_config.effort", "invalid enum value 'much'."),
    ({"output_config": {"format": {"type": "xml", "schema": {}}}}, "output_config.format.type", "invalid enum value 'xml'."),
    ({"tools": [TOOL | {"name": ""}]}, "tools[0].name", "expected `str` of length >= 1."),
    ({"tools": [TOOL | {"input_schema": []}]}, "tools[0].input_schema", "expected `object | null`, got `array`."),
    ({"tool_choice": "auto"}, "tool_choice", "expected `object | null`, got `str`."),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type", "invalid enum value 'some'."),
    ({"tool_choice": {"type": "any"}}, "tool_choice", '"any" asks for a tool, and there is none; send tools.'),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "u"}}, "tool_choice.name", 'no tool "u" is in tools.'),
    (user({"type": "video"}), "messages[0].content[0].type",
     '"video" is not taken here; send text, image, document, search_result or tool_result blocks.'),
    (image(type="path"), "messages[0].content[0].source.type",
     '"path" is no source of an image; use base64, url or file.'),
    (document(type="url", url="https://x"), "messages[0].content[0].source.type",
     '"url" is no source of a document here; use text, content, base64 or file.'),
    (user({"type": "tool_result", "tool_use_id": "t", "content": {"a": 1}}), "messages[0].content[0].content",
     "a result is a string or an array of blocks."),
    (assistant({"type": "tool_use", "id": "t", "name": "n", "input": "{}"}), "messages[1].content[0].input",
     "expected `object | null`, got `str`."),
    ({"system": [{"type": "image"}]}, "system[0].type", '"image" is not taken here; send text blocks.'),
    ({"messages": [{"role": "system", "content": [{"type": "image"}]}]}, "messages[0].content[0].type",
     '"image" is not taken here; send text blocks.'),
]  # fmt: skip


def body_with(fields: dict[str, Any]) -> bytes:
    changed = GOOD | fields
    return json.dumps({key: value for key, value in changed.items() if value is not ...}).encode()


@pytest.mark.parametrize(("fields", "param"), MISSING, ids=[param for _, param in MISSING])
def test_what_is_missing(fields: dict[str, Any], param: str) -> None:
    error = refused(body_with(fields))
    assert (error.param, error.code) == (param, "missing_field")
    assert error.message == f'"{param}" is missing; it is required.'


@pytest.mark.parametrize(("fields", "param", "problem"), WRONG, ids=[param for _, param, _ in WRONG])
def test_what_is_wrong(fields: dict[str, Any], param: str, problem: str) -> None:
    error = refused(body_with(fields))
    assert (error.param, error.code) == (param, "invalid_value")
    assert error.message == f'"{param}": {problem}'


def test_a_tool_that_is_there_twice() -> None:
    error = refused(body_with({"tools": [TOOL, TOOL]}))
    assert (error.param, error.message) == ("tools", 'tools: the function name "t" is there twice.')


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"", "invalid_json", "The body is not JSON: Input data was truncated; send one JSON object."),
        (b"{", "invalid_json", "The body is not JSON: Input data was truncated; send one JSON object."),
        (b"[]", "invalid_json", "The body must be a JSON object: Expected `object`, got `array`."),
        (b'{"model": "\xff"}', "invalid_utf8", "The body is not UTF-8: byte 11 is invalid"),
        (
            b"[" * 200 + b"]" * 200,
            "nested_too_deeply",
            "The body nests more than 128 levels deep; flatten it.",
        ),
    ],
)
@pytest.mark.parametrize("reader", [refused, None], ids=["messages", "count_tokens"])
def test_what_is_no_json_object(reader: Any, body: bytes, code: str, says: str) -> None:
    if reader is not None:
        error = refused(body)
    else:
        with pytest.raises(BadRequestError) as caught:
            count_tokens(body)
        error = caught.value
    assert (error.code, error.param) == (code, None)
    assert error.message.startswith(says)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (405, "invalid_request_error"),
        (409, "invalid_request_error"), (413, "request_too_large"), (415, "invalid_request_error"),
        (422, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"), (502, "api_error"),
        (503, "overloaded_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_the_error_body(status: int, kind: str) -> None:
    error = ErrorObject("No.", "whatever", "messages", "c")
    assert json.loads(AnthropicMessages().refusal(status, error)) == {
        "type": "error",
        "error": {"type": kind, "message": "No.", "param": "messages", "code": "c"},
    }
