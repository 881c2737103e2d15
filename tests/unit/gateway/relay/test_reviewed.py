"""Answers that are judged before the client gets any of them: asked for once more, and what is told and booked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk, completion
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


# Empty JSON


@pytest.mark.parametrize("empty", ["", "  \n\t "])
def test_an_empty_answer_is_asked_for_again(stage: Stage, empty: str) -> None:
    client = ask(stage)
    stage.server.last.answer(completion(empty))
    assert not client.bytes
    first, second = stage.server.requests
    assert first.body == second.body
    stage.server.last.answer(completion(GOOD))
    answer = client.answer()
    assert answer.json()["choices"][0]["message"]["content"] == GOOD
    assert answer.header("x-abyssal-repairs") == "empty_json"
    (settled,) = stage.settled
    assert (settled.status, settled.prompt_tokens, settled.completion_tokens) == (200, 22, 10)


@pytest.mark.parametrize("last", ["empty", "an error", "nothing"])
def test_an_empty_answer_stands_if_there_is_none_better(stage: Stage, last: str) -> None:
    client = ask(stage)
    stage.server.last.answer(completion(""))
    if last == "empty":
        stage.server.last.answer(completion(""))
    elif last == "an error":
        stage.server.last.answer(b'{"error":{"message":"no"}}', status=503)
    else:
        for _ in range(2):  # the connection had been used before: the first end is not the upstream's
            stage.server.last.close()
    answer = client.answer()
    assert (answer.status, answer.json()["choices"][0]["message"]["content"]) == (200, "")
    assert len(stage.server.requests) == (3 if last == "nothing" else 2)
    assert stage.settled[0].status == 200


@pytest.mark.parametrize(
    "body",
    [
        completion(GOOD),
        completion("", choices=[{"index": 0, "message": {"content": ""}, "finish_reason": "length"}]),
        completion("", choices=[{"index": 0, "message": {"content": None, "tool_calls": [{"id": "a", "function": {}}]}, "finish_reason": "stop"}]),
        completion("", choices=[]),
        b'{"choices": 5}',
    ],
)  # fmt: skip
def test_an_answer_that_is_not_empty_passes(stage: Stage, body: bytes) -> None:
    client = ask(stage)
    stage.server.last.answer(body)
    assert client.answer().body == body
    assert client.answer().header("x-abyssal-repairs") is None
    assert len(stage.server.requests) == 1


def test_an_error_passes(stage: Stage) -> None:
    client = ask(stage)
    stage.server.last.answer(b'{"error":{"message":"no","code":"c"}}', status=422)
    assert (client.answer().status, client.answer().json()["error"]["code"]) == (422, "c")
    assert (stage.settled[0].status, stage.settled[0].code) == (422, "c")


def test_an_empty_stream_is_asked_for_again(stage: Stage) -> None:
    client = ask(stage, stream=True)
    stage.server.last.begin_stream().stream(thought("Hm."), chunk(""), LAST, DONE).end_stream()
    assert not client.bytes
    stage.server.last.begin_stream().stream(thought("Hm!"), chunk(""))
    assert not client.bytes
    stage.server.last.stream(chunk('{"a"'))
    assert b"Hm!" in client.bytes  # from its first content on it passes as it comes
    stage.server.last.stream(chunk(": 1}"), LAST, DONE).end_stream()
    assert text_of(client) == GOOD
    assert client.answer().header("x-abyssal-repairs") == "empty_json"
    assert b"Hm." not in client.bytes
    assert client.answer().events[-1] == "[DONE]"
    assert (stage.settled[0].status, stage.settled[0].completion_tokens) == (200, 10)


@pytest.mark.parametrize("last", ["empty", "an error", "half"])
def test_an_empty_stream_stands_if_there_is_none_better(stage: Stage, last: str) -> None:
    client = ask(stage, stream=True)
    stream(stage, "")
    if last == "empty":
        stream(stage, "")
    elif last == "half":
        stage.server.last.begin_stream().stream(chunk("")).end_stream()
    else:
        stage.server.last.answer(b'{"error":{"message":"no"}}', status=503)
    assert client.answer().events[-1] == "[DONE]"
    assert text_of(client) == ""
    assert stage.settled[0].status == 200


def test_a_stream_whose_first_content_is_its_last_word(stage: Stage) -> None:
    client = ask(stage, stream=True)
    stream(stage, GOOD)
    assert text_of(client) == GOOD
    assert len(stage.settled) == 1


def test_a_stream_that_breaks_is_not_empty(stage: Stage) -> None:
    client = ask(stage, stream=True)
    stage.server.last.begin_stream().stream(chunk("")).end_stream()
    assert json.loads(client.answer().events[-1])["error"]["code"] == "upstream_ended_early"
    assert (stage.settled[0].status, len(stage.server.requests)) == (502, 1)


def test_who_waits_for_a_stream_hears_that_the_line_is_open(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    for _ in range(3):
        server.stream(thought("Hm."))
        stage.pass_time(8)
    assert client.answers()[0].events[0] == ": keep-alive"
    server.stream(LAST, DONE).end_stream()
    stream(stage, GOOD)
    events = client.answer().events
    assert events[:2] == [": keep-alive", ": x-abyssal-repairs: empty_json"]
    assert text_of(client) == GOOD


def test_an_attempt_that_says_nothing_times_out(stage: Stage) -> None:
    client = ask(stage)
    stage.server.last.answer(completion(""))
    stage.pass_time(101)
    answer = client.answer()
    assert (answer.status, answer.json()["choices"][0]["message"]["content"]) == (200, "")


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_ends_the_attempt(stage: Stage, again: bool, streamed: bool) -> None:
    client = ask(stage, stream=streamed)
    if again:
        stage.server.last.answer(completion(""))
    client.leave()
    assert stage.server.last.closed
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (499, "client_gone")


def test_a_client_that_leaves_in_the_middle_of_a_released_stream(stage: Stage) -> None:
    client = ask(stage, stream=True)
    stage.server.last.begin_stream().stream(chunk("{"))
    client.leave()
    assert stage.server.last.closed
    assert stage.settled[0].status == 499


def test_retries_have_a_budget(stage: Stage) -> None:
    asked = []
    for _ in range(20):
        client, before = ask(stage), len(stage.server.requests)
        stage.server.last.answer(completion(""))
        if len(stage.server.requests) > before:
            stage.server.last.answer(completion(""))
        asked.append(len(stage.server.requests) - before)
        assert client.answer().status == 200
    assert asked[:10] == [1] * 10
    assert asked[13:] == [0] * 7


@pytest.mark.parametrize("kind", ["openai", "engine", "deepseek"])
def test_without_json_mode_nothing_is_judged(make_stage: MakeStage, kind: str) -> None:
    stage = make_stage(
        CONFIG.replace("deepseek", kind)
        .replace('base_url = "http://up.test"', "" if kind == "engine" else 'base_url = "http://up.test"')
        .replace('"up"', '"engine"')
    )
    stage.upstream.available = True
    for fields in ({}, {"response_format": {"type": "text"}}):
        client = stage.client().ask(**fields)
        stage.server.last.answer(completion(""))
        assert client.answer().status == 200
    assert len(stage.server.requests) == 2


def test_switched_off_an_empty_answer_passes(make_stage: MakeStage) -> None:
    stage = make_stage(CONFIG.replace("first_byte", "repairs = { empty_json = false }\nfirst_byte"))
    client = ask(stage)
    stage.server.last.answer(completion(""))
    assert client.answer().status == 200
    assert len(stage.server.requests) == 1
