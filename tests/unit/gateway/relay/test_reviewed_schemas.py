"""Answers that must conform to a schema, or call strict functions as they should, for upstreams that do not see to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, USAGE, chat, chunk, completion
from tests.unit.gateway.stage import Client, Stage

MakeStage = Callable[..., Stage]
CONFIG = """
[[upstreams]]
name = "up"
kind = "deepseek"
base_url = "http://up.test"
first_byte_timeout = 100
[[models]]
name = "m"
targets = [{ upstream = "up", model = "their-model" }]
"""
JSON = {"type": "json_object"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
GOOD, BAD = '{"a": 1}', '{"b": 1}'


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    return make_stage(CONFIG)


def ask(stage: Stage, form: dict[str, Any] = JSON, **fields: Any) -> Client:
    return stage.client().ask(response_format=form, **fields)


def thought(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": text}}]}).encode()


def stream(stage: Stage, *pieces: str, finish: bytes = LAST) -> None:
    stage.server.last.begin_stream().stream(*map(chunk, pieces), finish, DONE).end_stream()


def text_of(client: Client) -> str:
    chunks = [json.loads(event) for event in client.answer().events if event.startswith("{")]
    return "".join(choice["delta"].get("content") or "" for one in chunks for choice in one["choices"])


# Schemas


def test_a_schema_is_asked_for_in_words(stage: Stage) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    client = ask(stage, BY_SCHEMA, messages=said)
    request = stage.server.last.request.json()
    assert request["response_format"] == JSON
    system, asked, user = request["messages"]
    assert (system, user) == tuple(said)
    assert asked["role"] == "system"
    assert json.loads(asked["content"].partition("\n")[2]) == SCHEMA
    stage.server.last.answer(completion(GOOD))
    assert client.answer().json()["choices"][0]["message"]["content"] == GOOD
    assert client.answer().header("x-abyssal-repairs") == "json_schema"


@pytest.mark.parametrize("bad", [BAD, "", "no JSON", "[" * 5000, '{"a": 1} and more', '{"a": true}'])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_an_answer_that_does_not_conform_is_asked_for_again(stage: Stage, bad: str, streamed: bool) -> None:
    client = ask(stage, BY_SCHEMA, stream=streamed)
    if streamed:
        stream(stage, bad[:1], bad[1:])
        assert not client.bytes
        stage.server.last.begin_stream().stream(chunk('{"a"'))
        assert not client.bytes  # not before all of it is known
        stage.server.last.stream(chunk(": 1}"), LAST, DONE).end_stream()
        assert text_of(client) == GOOD
    else:
        stage.server.last.answer(completion(bad))
        assert not client.bytes
        stage.server.last.answer(completion(GOOD))
        assert client.answer().json()["choices"][0]["message"]["content"] == GOOD
    assert len(stage.server.requests) == 2
    assert stage.settled[0].completion_tokens == 10


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_an_answer_that_never_conforms_is_an_error(stage: Stage, streamed: bool) -> None:
    client = ask(stage, BY_SCHEMA, stream=streamed)
    for _ in range(2):
        if streamed:
            stream(stage, BAD)
        else:
            stage.server.last.answer(completion(BAD))
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (502, "schema_not_met")
    assert answer.error["param"] == "response_format.json_schema.schema"
    assert (stage.settled[0].status, stage.settled[0].code) == (502, "schema_not_met")
    assert stage.settled[0].completion_tokens == 10


def test_an_error_behind_a_comment_is_an_event(stage: Stage) -> None:
    client = ask(stage, BY_SCHEMA, stream=True)
    stage.pass_time(16)
    for _ in range(2):
        stream(stage, BAD)
    assert json.loads(client.answer().events[-1])["error"]["code"] == "schema_not_met"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_cut_answer_passes(stage: Stage, streamed: bool) -> None:
    client = ask(stage, BY_SCHEMA, stream=streamed)
    if streamed:
        stream(stage, '{"a', finish=chunk("", "length", usage=USAGE))
        assert text_of(client) == '{"a'
    else:
        choice = {"index": 0, "message": {"content": '{"a'}, "finish_reason": "length"}
        stage.server.last.answer(completion(choices=[choice]))
        assert client.answer().status == 200
    assert len(stage.server.requests) == 1


def test_a_schema_that_takes_too_long_is_told_so_at_once(stage: Stage) -> None:
    defs: dict[str, Any] = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(30)}
    schema = {"$defs": defs | {"a30": {}}, "$ref": "#/$defs/a0"}
    client = ask(stage, {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    stage.server.last.answer(completion(GOOD))
    assert client.answer().error["code"] == "unsupported_schema"
    assert len(stage.server.requests) == 1


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"type": "json_schema"}, "missing_field"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "missing_field"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}, "unsupported_schema"),
        ({"type": "json_schema", "json_schema": {"schema": {"properties": {"a": {"pattern": "x"}}}}}, "unsupported_schema"),
        ({"type": "json_schema", "json_schema": {"schema": {"description": "x" * 70_000}}}, "unsupported_schema"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_judged_by_is_refused(stage: Stage, form: dict[str, Any], code: str) -> None:
    assert ask(stage, form).answer().error["code"] == code
    assert not stage.server.connections


def test_switched_off_a_schema_passes(make_stage: MakeStage) -> None:
    stage = make_stage(CONFIG.replace("first_byte", "repairs = { json_schema = false }\nfirst_byte"))
    client = ask(stage, BY_SCHEMA)
    assert stage.server.last.request.json()["response_format"] == BY_SCHEMA
    stage.server.last.answer(
        b'{"error":{"message":"This response_format type is unavailable now"}}', status=400
    )
    assert client.answer().status == 400


def test_more_than_is_held_is_refused(stage: Stage) -> None:
    client = ask(stage, BY_SCHEMA, stream=True)
    server = stage.server.last.begin_stream()
    for _ in range(9):
        server.stream(chunk("x" * 500_000))
    stage.turn()
    assert client.answer().error["code"] == "schema_not_met"
    assert server.closed


# Strict tools

PARAMETERS = SCHEMA
STRICT = {"type": "function", "function": {"name": "f", "strict": True, "parameters": PARAMETERS}}


def call(arguments: str, name: str = "f") -> bytes:
    calls = [{"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]
    choice = {"index": 0, "message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    return completion(choices=[choice])


def test_arguments_that_do_not_conform_are_asked_for_again(stage: Stage) -> None:
    client = stage.client().ask(tools=[STRICT])
    stage.server.last.answer(call(BAD))
    assert not client.bytes
    stage.server.last.answer(call(GOOD))
    assert client.answer().json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == GOOD
    assert client.answer().header("x-abyssal-repairs") == "strict_tools"


def test_arguments_that_never_conform_are_an_error(stage: Stage) -> None:
    client = stage.client().ask(tools=[STRICT])
    for _ in range(2):
        stage.server.last.answer(call("{"))
    assert (client.answer().error["code"], client.answer().error["param"]) == ("schema_not_met", "tools")


@pytest.mark.parametrize("body", [completion("no call"), call("not JSON", "g"), call(GOOD)])
def test_what_no_strict_function_is_called_with_passes(stage: Stage, body: bytes) -> None:
    loose = {"type": "function", "function": {"name": "g"}}
    client = stage.client().ask(tools=[STRICT, loose])
    stage.server.last.answer(body)
    assert client.answer().body == body
    assert client.answer().header("x-abyssal-repairs") is None


def beta(stage: Stage, *tools: dict[str, Any]) -> Client:
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    ).encode()
    return stage.client().send(chat(body, line=b"POST /beta/chat/completions HTTP/1.1\r\n"))


def test_on_the_beta_route_the_service_holds_to_them_itself(stage: Stage) -> None:
    client = beta(stage, STRICT)
    assert stage.server.last.request.target == "/beta/chat/completions"
    stage.server.last.answer(call(BAD))
    assert client.answer().status == 200
    assert len(stage.server.requests) == 1


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "strict": True} | fields}


LOOSE: list[tuple[list[dict[str, Any]], str]] = [
    ([STRICT, {"type": "function", "function": {"name": "g"}}], "tools[1].function.strict"),
    ([function(parameters=SCHEMA | {"required": []})], "tools[0].function.parameters.required"),
    ([function(parameters=SCHEMA | {"additionalProperties": True})], "tools[0].function.parameters.additionalProperties"),
    ([function(parameters={"type": "object"})], "tools[0].function.parameters.additionalProperties"),
    (
        [function(parameters=SCHEMA | {"properties": {"a": {"type": "array", "items": {"type": "object"}}}})],
        "tools[0].function.parameters.properties.a.items.additionalProperties",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("tools", "param"), LOOSE)
def test_strict_functions_have_rules(stage: Stage, tools: list[dict[str, Any]], param: str) -> None:
    error = beta(stage, *tools).answer().error
    assert (error["code"], error["param"]) == ("invalid_value", param)
    assert not stage.server.connections
