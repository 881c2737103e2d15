"""Repairs of a call on its way through the gateway, switched on and off, and what the client is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, KEY, LAST, OTHER_KEY, USAGE, chat, chunk
from tests.unit.gateway.stage import HASH_KEY, Client, Stage

from abyssal.stores.api_keys import digest_of
from abyssal.stores.rights import ALL_SCOPES
from abyssal.stores.snapshot import CredentialRecord, Entry, ProjectRecord, encode_record

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
}
SAID = {"role": "user", "content": "hi"}
TURN: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}

MakeStage = Callable[..., Stage]


def config(kind: str, **repairs: bool) -> str:
    switches = ", ".join(f"{name} = {str(value).lower()}" for name, value in repairs.items())
    return f"""
[[upstreams]]
name = "up"
kind = "{kind}"
base_url = "http://up.test"
repairs = {{ {switches} }}
[[models]]
name = "m"
targets = [{{ upstream = "up", model = "their-model" }}]
"""


def asked(stage: Stage) -> Any:
    return stage.server.last.requests[-1].json()


def thought(text: str = "It asks for weather.") -> bytes:
    choice = {"index": 0, "message": TURN | {"reasoning_content": text}, "finish_reason": "tool_calls"}
    return json.dumps({"id": "x", "choices": [choice], "usage": USAGE}).encode()


def learn(stage: Stage, *, stream: bool = False) -> None:
    """A first round with tools, in which the upstream thinks and calls."""
    client = stage.client().ask(messages=[SAID], tools=TOOLS, stream=stream)
    if not stream:
        stage.server.last.answer(thought())
        assert client.answer().body == thought()  # nothing of it is changed
        return
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"reasoning_content": "It asks "},
        {"reasoning_content": "for weather."},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"北京"}'}}]},
    ]
    events = [
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() for delta in deltas
    ]
    server = stage.server.last.begin_stream()
    for event in events:
        server.stream(event)
    server.stream(chunk("", "tool_calls", usage=USAGE), DONE).end_stream()
    sent = client.answer().body
    assert sent == b"".join(
        event + b"\n\n" for event in [*events, chunk("", "tool_calls", usage=USAGE), DONE]
    )


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("content", [None, "", "absent"])
def test_dropped_reasoning_is_put_back(make_stage: MakeStage, stream: bool, content: str | None) -> None:
    stage = make_stage(config("deepseek"))
    learn(stage, stream=stream)
    turn = TURN | {"content": content}
    if content == "absent":
        del turn["content"]
    client = stage.client().ask(messages=[SAID, turn, RESULT], tools=TOOLS)
    assert asked(stage)["messages"] == [SAID, turn | {"reasoning_content": "It asks for weather."}, RESULT]
    stage.server.last.answer()
    assert client.answer().header("x-abyssal-repairs") == "reasoning_content"


def test_a_streamed_answer_tells_in_its_head(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    learn(stage)
    client = stage.client().ask(messages=[SAID, TURN, RESULT], tools=TOOLS, stream=True)
    stage.server.last.begin_stream().stream(chunk(), LAST, DONE).end_stream()
    assert client.answer().header("x-abyssal-repairs") == "reasoning_content"


def test_an_error_tells_too(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    learn(stage)
    client = stage.client().ask(messages=[SAID, TURN, RESULT], tools=TOOLS)
    stage.server.last.answer(b'{"error": {"message": "no"}}', status=400)
    assert client.answer().header("x-abyssal-repairs") == "reasoning_content"


NOT_PUT_BACK: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("no tools", {}, [SAID, TURN, RESULT]),
    ("another turn", {"tools": TOOLS}, [SAID, {"role": "assistant", "content": "another"}]),
    ("it is there", {"tools": TOOLS}, [SAID, TURN | {"reasoning_content": "mine"}, RESULT]),
    ("no thinking", {"tools": TOOLS, "thinking": {"type": "disabled"}}, [SAID, TURN, RESULT]),
]


@pytest.mark.parametrize(
    ("fields", "messages"), [case[1:] for case in NOT_PUT_BACK], ids=[case[0] for case in NOT_PUT_BACK]
)
def test_what_needs_no_reasoning_passes_as_it_came(
    make_stage: MakeStage, fields: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    stage = make_stage(config("deepseek"))
    learn(stage)
    client = stage.client().ask(messages=messages, **fields)
    assert asked(stage)["messages"] == messages
    stage.server.last.answer()
    assert client.answer().header("x-abyssal-repairs") is None


def test_another_tenant_gets_nothing_put_back(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    learn(stage)
    other = CredentialRecord("key_9", "api_key", "proj_2", "", ALL_SCOPES, None, None, 0)
    stage.take(
        projects=(ProjectRecord("proj_2", "org_2", ALL_SCOPES, None, (), True),),
        entries=(Entry(digest_of(OTHER_KEY.encode(), HASH_KEY), encode_record(other)),),
    )
    request = chat(messages=[SAID, TURN, RESULT], tools=TOOLS).replace(KEY.encode(), OTHER_KEY.encode())
    stage.client().send(request)
    assert asked(stage)["messages"] == [SAID, TURN, RESULT]
    stage.server.last.answer()


@pytest.mark.parametrize("kind", ["deepseek", "openai"])
def test_reasoning_is_not_followed_where_that_is_switched_off(make_stage: MakeStage, kind: str) -> None:
    stage = make_stage(config(kind, reasoning_content=False))
    learn(stage)
    stage.client().ask(messages=[SAID, TURN, RESULT], tools=TOOLS)
    assert asked(stage)["messages"] == [SAID, TURN, RESULT]
    stage.server.last.answer()


@pytest.mark.parametrize(
    ("kind", "switches", "repaired"),
    [
        ("deepseek", {}, True),
        ("deepseek", {"thinking_tool_choice": False}, False),
        ("openai", {}, False),
        ("openai", {"thinking_tool_choice": True}, True),
    ],
)
def test_a_forced_call_switches_thinking_off(
    make_stage: MakeStage, kind: str, switches: dict[str, bool], repaired: bool
) -> None:
    stage = make_stage(config(kind, **switches))
    client = stage.client().ask(tools=TOOLS, tool_choice="required", max_tokens=7)
    assert asked(stage).get("thinking") == ({"type": "disabled"} if repaired else None)
    assert asked(stage)["max_tokens"] == 7
    stage.server.last.answer()
    assert client.answer().header("x-abyssal-repairs") == ("thinking_tool_choice" if repaired else None)


@pytest.mark.parametrize("relabel", [True, False])
def test_an_error_with_the_wrong_label(make_stage: MakeStage, relabel: bool) -> None:
    stage = make_stage(config("deepseek", error_label=relabel))
    client = stage.client().ask()
    body = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"x"}}'
    head = b"HTTP/1.1 400 Bad\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n"
    stage.server.last.say(head % len(body) + body)
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (400, "x")
    label = "application/json" if relabel else "application/octet-stream"
    assert answer.header("content-type") == label
    assert answer.header("x-abyssal-repairs") == ("error_label" if relabel else None)


def test_an_error_with_its_label_is_not_repaired(make_stage: MakeStage) -> None:
    stage = make_stage(config("deepseek"))
    client = stage.client().ask()
    stage.server.last.answer(b'{"error": {"message": "no"}}', status=400)
    assert client.answer().header("x-abyssal-repairs") is None


def strict(stage: Stage, value: str = "1", **fields: Any) -> Client:
    body = {"model": "m", "messages": [SAID]} | fields
    header = f"x-abyssal-strict: {value}\r\n".encode()
    return stage.client().send(chat(json.dumps(body).encode(), headers=header))


IGNORED: list[tuple[str, dict[str, Any], str]] = [
    ("deepseek", {"frequency_penalty": 0.5}, "frequency_penalty"),
    ("deepseek", {"presence_penalty": -1}, "presence_penalty"),
    ("deepseek", {"seed": 0}, "seed"),
    ("deepseek", {"n": 2}, "n"),
    ("deepseek", {"logit_bias": {"1": 5}}, "logit_bias"),
    ("deepseek", {"user": "u"}, "user"),
    ("deepseek", {"temperature": 0.5}, "temperature"),
    ("deepseek", {"top_p": 0.5, "thinking": {"type": "enabled"}}, "top_p"),
    ("deepseek", {"min_p": 0.1}, "min_p"),
    ("openai", {"seed": 1}, "seed"),
]
TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("deepseek", {"max_tokens": 5, "stop": ["x"], "logprobs": True, "top_logprobs": 2, "user_id": "u"}),
    ("deepseek", {"temperature": 0.5, "thinking": {"type": "disabled"}}),
    ("deepseek", {"temperature": 0.5, "reasoning_effort": "none"}),
    ("deepseek", {"frequency_penalty": 0, "presence_penalty": 0.0, "n": 1, "logit_bias": {}, "seed": None}),
    ("openai", {"temperature": 0.5, "frequency_penalty": 1, "n": 2, "min_p": 0.1}),
]


def ignoring(kind: str) -> str:
    return (
        config(kind).replace("repairs", 'ignores = ["seed"]\nrepairs') if kind == "openai" else config(kind)
    )


@pytest.mark.parametrize(("kind", "fields", "name"), IGNORED)
def test_what_would_be_ignored_is_refused_when_strictness_is_asked(
    make_stage: MakeStage, kind: str, fields: dict[str, Any], name: str
) -> None:
    stage = make_stage(ignoring(kind))
    error = strict(stage, **fields).answer().error
    assert (error["code"], error["param"]) == ("parameter_ignored", name)
    assert not stage.server.connections
    for strictness in ("0", None):
        client = strict(stage, strictness, **fields) if strictness else stage.client().ask(**fields)
        assert asked(stage)[name] == fields[name]
        stage.server.last.answer()
        assert client.answer().status == 200


@pytest.mark.parametrize(("kind", "fields"), TAKEN)
def test_what_has_an_effect_passes_strictness(
    make_stage: MakeStage, kind: str, fields: dict[str, Any]
) -> None:
    stage = make_stage(ignoring(kind))
    client = strict(stage, **fields)
    assert stage.server.last.request.header("x-abyssal-strict") is None
    stage.server.last.answer()
    assert client.answer().status == 200


def test_a_strictness_that_nobody_knows_is_refused(stage: Stage) -> None:
    error = strict(stage, "yes").answer().error
    assert (error["code"], error["param"]) == ("invalid_value", "x-abyssal-strict")
