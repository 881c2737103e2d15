"""What a model thought under the name `reasoning`: plain, in streams, in other formats, and what is no such key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, completion
from tests.unit.gateway.repairs.test_usage import MakeStage, config
from tests.unit.gateway.stage import Stage


def delta(**fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "created": 1, "model": "m", "choices": [choice]}).encode()


THOUGHT = (
    delta(role="assistant", content=""),
    delta(reasoning="Hm, "),
    delta(reasoning='a "reasoning":'),
)


def deltas(events: list[str]) -> list[dict[str, Any]]:
    return [json.loads(event)["choices"][0]["delta"] for event in events if event != "[DONE]"]


def test_a_whole_answer(stage: Stage) -> None:
    client = stage.client().ask()
    message = {"content": 'say "reasoning": no', "reasoning": "Hm."}
    stage.server.last.answer(completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    answer = client.answer()
    told = answer.json()["choices"][0]["message"]
    assert told == {"content": 'say "reasoning": no', "reasoning_content": "Hm."}
    assert answer.header("x-abyssal-repairs") == "reasoning_field"


def test_a_stream(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(*THOUGHT, delta(content="Hi"), LAST, DONE).end_stream()
    first, *rest = deltas(client.answer().events)
    assert first == {"role": "assistant", "content": ""}
    assert rest[:3] == [
        {"reasoning_content": "Hm, "},
        {"reasoning_content": 'a "reasoning":'},
        {"content": "Hi"},
    ]


def test_another_format(stage: Stage) -> None:
    body = json.dumps({"model": "m", "input": "hi", "stream": True}).encode()
    client = stage.client().send(chat(body, line=b"POST /responses HTTP/1.1\r\n"))
    stage.server.last.begin_stream().stream(*THOUGHT, delta(content="Hi"), LAST, DONE).end_stream()
    assert b"response.reasoning_text.delta" in client.answer().body


@pytest.mark.parametrize(
    "message",
    [
        {"content": "a", "reasoning": "b", "reasoning_content": "b"},
        {"content": "a", "reasoning": {"effort": "low"}},
        {"content": "a", "name": "reasoning"},
    ],
    ids=["both names", "no text", "a value"],
)
def test_what_stays(stage: Stage, message: dict[str, Any]) -> None:
    client = stage.client().ask()
    stage.server.last.answer(completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    assert client.answer().json()["choices"][0]["message"] == message


@pytest.mark.parametrize(("kind", "repairs"), [("openai", "reasoning_field = false"), ("deepseek", "")])
def test_it_has_a_switch_and_the_official_service_needs_none(
    make_stage: MakeStage, kind: str, repairs: str
) -> None:
    stage = make_stage(config(kind, repairs))
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(*THOUGHT, LAST, DONE).end_stream()
    assert deltas(client.answer().events)[1] == {"reasoning": "Hm, "}


def test_a_stream_that_began_without_is_not_searched_to_its_end(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    for _ in range(8):
        server.stream(delta(content="a"))
    server.stream(delta(reasoning="late"), LAST, DONE).end_stream()
    assert {"reasoning": "late"} in deltas(client.answer().events)
