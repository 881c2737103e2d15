"""What an Anthropic request becomes as a chat request. Every one of them must pass the chat reader too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.dialects.anthropic import AnthropicMessages
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError

HI: dict[str, Any] = {"role": "user", "content": "hi"}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
PIXEL_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
WEATHER = {"name": "weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}
WEATHER_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": WEATHER["input_schema"]},
}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said, "cache_control": {"type": "ephemeral"}}


def read(models: tuple[str, ...] | None = None, **fields: Any) -> dict[str, Any]:
    """The chat request's fields, for a request with `fields`."""
    request = {"model": "deepseek-flash", "max_tokens": 100, "messages": [HI]} | fields
    body = AnthropicMessages(models).read(json.dumps(request).encode()).body
    parse_chat_request(body)
    return json.loads(body)


def messages(*turns: Any, **fields: Any) -> list[dict[str, Any]]:
    return read(messages=list(turns), **fields)["messages"]


def test_the_smallest_request() -> None:
    assert read() == {"model": "deepseek-flash", "messages": [HI], "max_tokens": 100}


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("claude-opus-4-8", "deepseek-v4-pro"),
        ("claude-opus", "deepseek-v4-pro"),
        ("claude-sonnet-5[1m]", "deepseek-flash"),
        ("claude-3-opus-20240229", "deepseek-flash"),
        ("claude-mine", "claude-mine"),
        ("deepseek-v4-pro", "deepseek-v4-pro"),
    ],
)
def test_model_names(asked: str, model: str) -> None:
    models = ("claude-mine", "deepseek-v4-pro", "deepseek-flash")
    assert read(models=models, model=asked)["model"] == model


@pytest.mark.parametrize(
    ("asked", "said"), [("opus", 'no model "opus" here; send'), ("claude-x", 'stands for "deepseek-flash"')]
)
def test_a_name_that_nobody_answers_to(asked: str, said: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        read(models=("claude-mine", "deepseek-v4-pro"), model=asked)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("fields", "becomes"),
    [
        ({"stream": True}, {"stream": True}),
        ({"stream": False}, {}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 40}, {"temperature": 0.5, "top_p": 0.9}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u"}}, {"user_id": "u"}),
        ({"metadata": {}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinking": {"type": "enabled"}}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "enabled"}}),
        ({"thinking": {"type": "between_tools"}}, {"thinking": {"type": "enabled"}}),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        (
            {
                "service_tier": "auto",
                "container": "c",
                "mcp_servers": [],
                "cache_control": {"type": "ephemeral"},
            },
            {},
        ),
    ],
)
def test_parameters(fields: dict[str, Any], becomes: dict[str, Any]) -> None:
    assert read(**fields) == read() | becomes


@pytest.mark.parametrize(
    ("tools", "choice", "becomes"),
    [
        ([WEATHER], None, {"tools": [WEATHER_TOOL]}),
        ([WEATHER], {"type": "auto"}, {"tools": [WEATHER_TOOL], "tool_choice": "auto"}),
        ([WEATHER], {"type": "any"}, {"tools": [WEATHER_TOOL], "tool_choice": "required"}),
        ([WEATHER], {"type": "none"}, {"tools": [WEATHER_TOOL], "tool_choice": "none"}),
        (
            [WEATHER | {"type": "custom"}],
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            {
                "tools": [WEATHER_TOOL],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "parallel_tool_calls": False,
            },
        ),
        (
            [WEATHER | {"strict": True}],
            {"type": "auto", "disable_parallel_tool_use": False},
            {
                "tools": [{"type": "function", "function": WEATHER_TOOL["function"] | {"strict": True}}],
                "tool_choice": "auto",
                "parallel_tool_calls": True,
            },
        ),
        # What Anthropic runs itself is passed over, and so is a choice that is left without a tool.
        ([SEARCH, WEATHER], None, {"tools": [WEATHER_TOOL]}),
        ([SEARCH, WEATHER], {"type": "tool", "name": "web_search"}, {"tools": [WEATHER_TOOL], "tool_choice": "auto"}),
        ([SEARCH], {"type": "any"}, {}),
        ([], {"type": "auto"}, {}),
    ],
)  # fmt: skip
def test_tools(tools: list[Any], choice: Any, becomes: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}
    assert read(**asked) == read() | becomes


@pytest.mark.parametrize(
    ("system", "content"),
    [("Be brief.", "Be brief."), ([text("Be"), text("brief.")], "Be\nbrief."), ("", None), ([], None)],
)
def test_system(system: Any, content: str | None) -> None:
    before = [] if content is None else [{"role": "system", "content": content}]
    assert messages(HI, system=system) == [*before, HI]


@pytest.mark.parametrize(
    ("block", "becomes"),
    [
        (text("a"), "a"),
        (PIXEL, [PIXEL_PART]),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
        ),
        (
            {"type": "image", "source": {"type": "file", "file_id": "file-api-1"}},
            [{"type": "file", "file": {"file_id": "file-api-1"}}],
        ),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}, "d"),
        ({"type": "document", "title": "T", "source": {"type": "text", "data": "d"}}, "T\nd"),
        ({"type": "document", "source": {"type": "content", "content": "d"}}, "d"),
        (
            {"type": "document", "title": "T", "source": {"type": "content", "content": [text("d"), PIXEL]}},
            [{"type": "text", "text": "T"}, {"type": "text", "text": "d"}, PIXEL_PART],
        ),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "cA=="}},
            [
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,cA=="},
                }
            ],
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            [{"type": "file", "file": {"file_id": "f"}}],
        ),
        ({"type": "search_result", "source": "https://x", "title": "T", "content": [text("d")]}, "T https://x\nd"),
        ({"type": "container_upload", "file_id": "f"}, ""),
    ],
)  # fmt: skip
def test_blocks_of_the_user(block: dict[str, Any], becomes: Any) -> None:
    assert messages({"role": "user", "content": [block]}) == [{"role": "user", "content": becomes}]


def test_texts_are_joined_unless_something_else_is_among_them() -> None:
    assert messages({"role": "user", "content": [text("a"), text("b")]})[0]["content"] == "a\nb"
    assert messages({"role": "user", "content": [text("a"), PIXEL, text("b")]})[0]["content"] == [
        {"type": "text", "text": "a"}, PIXEL_PART, {"type": "text", "text": "b"},
    ]  # fmt: skip


def test_an_assistants_turn() -> None:
    turn = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": [{"type": "web_search_result"}],
            },
            {"type": "web_fetch_tool_result", "tool_use_id": "s1", "content": {"type": "web_fetch_result"}},
            text("I "),
            text("look."),
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "北京", "n": 1.50}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        ],
    }
    (_, said, _) = messages(HI, turn, HI)
    calls = said.pop("tool_calls")
    assert said == {"role": "assistant", "content": "I look.", "reasoning_content": "Hm."}
    assert [(call["id"], call["type"], call["function"]["name"]) for call in calls] == [
        ("toolu_1", "function", "weather"), ("toolu_2", "function", "now"),
    ]  # fmt: skip
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "北京", "n": 1.5}, {}]


@pytest.mark.parametrize(
    ("content", "becomes"),
    [
        ({"content": "ok"}, "ok"),
        ({}, ""),
        ({"content": [text("a"), text("b")]}, "a\nb"),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"content": "fine", "is_error": False}, "fine"),
    ],
)
def test_results_of_tools(content: dict[str, Any], becomes: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1"} | content
    assert messages({"role": "user", "content": [result]}) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": becomes}
    ]


def test_results_come_before_what_the_user_says_and_their_images_after() -> None:
    shown = {"type": "tool_result", "tool_use_id": "b", "content": [PIXEL]}
    both = {"type": "tool_result", "tool_use_id": "c", "content": [text("see"), PIXEL]}
    turn = {"role": "user", "content": [text("well?"), shown, both]}
    first, second, user = messages(turn)
    assert first == {"role": "tool", "tool_call_id": "b", "content": "(shown in the next message)"}
    assert second == {"role": "tool", "tool_call_id": "c", "content": "see"}
    assert user == {
        "role": "user",
        "content": [{"type": "text", "text": "well?"}, PIXEL_PART, PIXEL_PART],
    }


def test_a_last_turn_of_the_assistant_is_the_answers_beginning() -> None:
    mine = {"role": "assistant", "content": "The best is ("}
    assert messages(HI, mine)[-1] == mine | {"prefix": True}
    assert messages(HI, {"role": "assistant", "content": [text("The")]})[-1]["prefix"] is True
    assert "prefix" not in messages(HI, mine, HI)[1]
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    assert "prefix" not in messages(HI, {"role": "assistant", "content": [text("x"), call]})[-1]


def test_a_system_turn_stays_where_it_is() -> None:
    turns = messages(HI, {"role": "system", "content": [text("a"), text("b")]}, HI)
    assert turns == [HI, {"role": "system", "content": "a\nb"}, HI]
