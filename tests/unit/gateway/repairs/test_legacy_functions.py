"""The older form of tools and the newer one, each for upstreams that know only the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, USAGE
from tests.unit.gateway.stage import Stage

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
SAID = {"role": "user", "content": "hi"}
CALL = {"name": "f", "arguments": '{"a":1}'}

MakeStage = Callable[..., Stage]


def config(kind: str = "openai", repairs: str = "") -> str:
    address = 'base_url = "http://up.test"' if kind != "engine" else ""
    return f"""
[[upstreams]]
name = "engine"
kind = "{kind}"
{address}
repairs = {{ {repairs} }}
[[models]]
name = "m"
targets = [{{ upstream = "engine", model = "their-model" }}]
"""


@pytest.fixture(params=["deepseek", "openai", "engine"])
def stage(request: pytest.FixtureRequest, make_stage: MakeStage) -> Stage:
    made = make_stage(config(request.param))
    made.upstream.available = True
    return made


@pytest.fixture
def old(make_stage: MakeStage) -> Stage:
    """Before a server that knows only functions."""
    return make_stage(config(repairs="tools_as_functions = true, legacy_functions = false"))


def asked(stage: Stage) -> Any:
    return stage.server.last.requests[-1].json()


def whole(message: dict[str, Any], finish: str) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None} | message,
        "finish_reason": finish,
    }
    return json.dumps({"id": "x", "choices": [choice], "usage": USAGE}).encode()


def delta(fields: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "x", "choices": [choice]} | more).encode()


@pytest.mark.parametrize(
    ("asked_for", "choice"),
    [
        ("auto", "auto"),
        ({"name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (None, None),
    ],
)
def test_functions_are_asked_as_tools(make_stage: MakeStage, asked_for: Any, choice: Any) -> None:
    stage = make_stage(config())
    stage.client().ask(functions=[FUNCTION], function_call=asked_for)
    request = asked(stage)
    assert request["tools"] == [TOOL]
    assert request.get("tool_choice") == choice
    assert not {"functions", "function_call"} & set(request)
    stage.server.last.answer()


def test_a_call_comes_back_in_the_form_it_was_asked_in(stage: Stage) -> None:
    client = stage.client().ask(functions=[FUNCTION])
    calls = [{"id": "a", "type": "function", "function": CALL}, {"id": "b", "function": CALL}]
    stage.server.last.answer(whole({"tool_calls": calls}, "tool_calls"))
    answer = client.answer()
    choice = answer.json()["choices"][0]
    assert choice["message"]["function_call"] == CALL
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    assert answer.header("x-abyssal-repairs") == "legacy_functions"
    assert answer.json()["usage"]["total_tokens"] == 16


def test_a_streamed_call_comes_back_in_the_form_it_was_asked_in(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    client = stage.client().ask(functions=[FUNCTION], stream=True)
    stage.server.last.begin_stream().stream(
        b": keep-alive",
        delta({"role": "assistant", "content": ""}),
        delta({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        delta({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        delta({"tool_calls": [{"index": 1, "id": "b", "function": CALL}]}),
        delta({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        delta({"content": ""}, "tool_calls", usage=USAGE),
        DONE,
    ).end_stream()
    events = client.answer().events
    chunks = [json.loads(event) for event in events if event.startswith("{")]
    calls = [chunk["choices"][0]["delta"].get("function_call") or {} for chunk in chunks]
    assert [call["name"] for call in calls if "name" in call] == ["f"]
    assert "".join(call.get("arguments", "") for call in calls) == '{"a":1}'
    assert not any("tool_calls" in chunk["choices"][0]["delta"] for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"
    assert (events[0], events[-1]) == (": keep-alive", "[DONE]")
    assert stage.settled[0].completion_tokens == 5


def test_an_answer_without_a_call_is_left_as_it_is(stage: Stage) -> None:
    client = stage.client().ask(functions=[FUNCTION])
    stage.server.last.answer(whole({"content": "no call"}, "stop"))
    assert client.answer().json()["choices"][0]["message"]["content"] == "no call"


HISTORY: list[dict[str, Any]] = [
    SAID,
    {"role": "assistant", "content": None, "function_call": CALL},
    {"role": "function", "name": "f", "content": "sunny"},
]


@pytest.mark.parametrize("fields", [{}, {"functions": [FUNCTION]}, {"tools": [TOOL]}], ids=["", "old", "new"])
def test_earlier_turns_are_put_in_the_newer_form(stage: Stage, fields: dict[str, Any]) -> None:
    client = stage.client().ask(messages=HISTORY, **fields)
    user, turn, result = asked(stage)["messages"]
    (call,) = turn["tool_calls"]
    assert (user, call["function"], result["role"], result["content"]) == (SAID, CALL, "tool", "sunny")
    assert result["tool_call_id"] == call["id"]
    assert "function_call" not in turn
    stage.server.last.answer()
    assert client.answer().header("x-abyssal-repairs") == "legacy_functions"


@pytest.mark.parametrize("strange", [5, "f", [], {"name": 5}, None])
def test_strange_calls_of_earlier_turns_are_the_upstreams_matter(make_stage: MakeStage, strange: Any) -> None:
    stage = make_stage(config())
    turn = {"role": "assistant", "content": "x", "function_call": strange}
    stage.client().ask(messages=[SAID, turn, SAID])
    assert asked(stage)["messages"][0] == SAID
    stage.server.last.answer()


def test_what_is_switched_off_passes(make_stage: MakeStage) -> None:
    stage = make_stage(config(repairs="legacy_functions = false"))
    client = stage.client().ask(messages=HISTORY, functions=[FUNCTION], function_call="auto")
    assert asked(stage)["messages"] == HISTORY
    assert asked(stage)["functions"] == [FUNCTION]
    stage.server.last.answer(whole({"function_call": CALL}, "function_call"))
    answer = client.answer()
    assert answer.json()["choices"][0]["message"]["function_call"] == CALL
    assert answer.header("x-abyssal-repairs") is None


# The other way round


@pytest.mark.parametrize(
    ("choice", "old_choice"),
    [
        ("required", {"name": "f"}),
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "function", "function": {"name": "f"}}, {"name": "f"}),
        (None, None),
    ],
)
def test_tools_are_asked_as_functions(old: Stage, choice: Any, old_choice: Any) -> None:
    client = old.client().ask(tools=[TOOL], tool_choice=choice, parallel_tool_calls=True)
    request = asked(old)
    assert request["functions"] == [FUNCTION]
    assert request.get("function_call") == old_choice
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(request)
    old.server.last.answer(whole({"function_call": CALL}, "function_call"))
    answer = client.answer()
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["function"]) == ("function", CALL)
    assert call["id"] == f"call_00_{answer.header('x-request-id')}"
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert answer.header("x-abyssal-repairs") == "tools_as_functions"


def test_a_streamed_function_call_becomes_a_tool_call(old: Stage) -> None:
    client = old.client().ask(tools=[TOOL], stream=True)
    old.server.last.begin_stream().stream(
        delta({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}),
        delta({"function_call": {"arguments": '{"a":1}'}}),
        delta({}, "function_call"),
        DONE,
    ).end_stream()
    chunks = [json.loads(event) for event in client.answer().events[:-1]]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call.get("id") is not None for call in calls] == [True, False]
    assert all(call["index"] == 0 for call in calls)
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_choice_that_the_old_form_cannot_say_is_refused(old: Stage) -> None:
    other = {"type": "function", "function": {"name": "g"}}
    error = old.client().ask(tools=[TOOL, other], tool_choice="required").answer().error
    assert (error["param"], error["code"]) == ("tool_choice", "unsupported_value")


def test_turns_with_several_calls_become_several_turns(old: Stage) -> None:
    calls = [{"id": key, "type": "function", "function": {"name": key, "arguments": "{}"}} for key in "ab"]
    messages = [
        SAID,
        {"role": "assistant", "content": "Both.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "B"},
        {"role": "tool", "tool_call_id": "a", "content": "A"},
        {"role": "tool", "tool_call_id": "nobody", "content": "?"},
        SAID,
    ]
    old.client().ask(messages=messages, tools=[TOOL])
    said = asked(old)["messages"]
    assert [(one["role"], one.get("name"), one["content"]) for one in said] == [
        ("user", None, "hi"),
        ("assistant", None, "Both."),
        ("function", "a", "A"),
        ("assistant", None, None),
        ("function", "b", "B"),
        ("function", "", "?"),
        ("user", None, "hi"),
    ]
    assert [one["function_call"]["name"] for one in said if one["role"] == "assistant"] == ["a", "b"]
    old.server.last.answer()


@pytest.mark.parametrize("calls", [[1], [None], [{}], [{"id": [], "function": 5}], []])
def test_strange_tool_calls_are_no_trouble(old: Stage, calls: list[Any]) -> None:
    client = old.client().ask(
        messages=[SAID, {"role": "assistant", "content": "x", "tool_calls": calls}, SAID], tools=[TOOL]
    )
    assert asked(old)["messages"][0] == SAID
    old.server.last.answer()
    assert client.answer().status == 200


def test_a_forced_function_call_switches_thinking_off_like_a_forced_tool(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    client = stage.client().ask(functions=[FUNCTION], function_call={"name": "f"})
    assert asked(stage)["thinking"] == {"type": "disabled"}
    stage.server.last.answer(whole({"tool_calls": [{"id": "a", "function": CALL}]}, "tool_calls"))
    answer = client.answer()
    assert answer.header("x-abyssal-repairs") == "legacy_functions, thinking_tool_choice"
    assert answer.json()["choices"][0]["message"]["function_call"] == CALL
