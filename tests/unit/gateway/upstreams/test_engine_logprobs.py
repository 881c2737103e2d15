"""The engine's log probabilities made official, and what several answers to a call cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE
from tests.unit.gateway.stage import Stage

CONFIG = '[[upstreams]]\nname = "engine"\nkind = "engine"\n[[models]]\nname = "m"\ntargets = [{ upstream = "engine" }]\n'
TOLD = {"id": 5, "token": '"]', "bytes": [34, 93], "logprob": -0.5}
TOKEN = TOLD | {"top_logprobs": [TOLD, TOLD | {"id": 6}]}
OFFICIAL = {"token": '"]', "bytes": [34, 93], "logprob": -0.5}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    made = make_stage(CONFIG)
    made.upstream.available = True
    return made


def choice(index: int, part: str, tokens: int) -> dict[str, Any]:
    return {
        "index": index,
        part: {"content": "x"},
        "finish_reason": None,
        "logprobs": {"content": [TOKEN] * tokens},
    }


@pytest.mark.parametrize(
    ("fields", "asked", "top"),
    [({}, 1, 0), ({"top_logprobs": 0}, 1, 0), ({"top_logprobs": 2}, 2, 2), ({"top_logprobs": 1}, 1, 1)],
)
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_have_no_id_and_as_many_rivals_as_were_asked(
    stage: Stage, fields: dict[str, Any], asked: int, top: int, stream: bool
) -> None:
    client = stage.client().ask(logprobs=True, stream=stream, **fields)
    request = stage.server.last.request.json()
    assert (request["logprobs"], request["top_logprobs"]) == (True, asked)
    if stream:
        event = b"data: " + json.dumps({"choices": [choice(0, "delta", 2)]}).encode()
        finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
        stage.server.last.begin_stream().stream(event, finish, DONE).end_stream()
        answer = json.loads(client.answer().events[0])
    else:
        stage.server.last.answer(json.dumps({"choices": [choice(0, "message", 2)], "usage": USAGE}).encode())
        answer = client.answer().json()
    told = answer["choices"][0]["logprobs"]["content"]
    assert told == [OFFICIAL | {"top_logprobs": [OFFICIAL] * top}] * 2


def test_a_whole_answer_counts_the_tokens_of_all_its_choices(stage: Stage) -> None:
    client = stage.client().ask(n=2)
    request = stage.server.last.request.json()
    assert (request["n"], request["logprobs"]) == (2, True)
    choices = [choice(0, "message", 2), choice(1, "message", 7)]
    stage.server.last.answer(json.dumps({"choices": choices, "usage": USAGE}).encode())
    answer = client.answer().json()
    assert all("logprobs" not in one for one in answer["choices"])
    assert (answer["usage"]["completion_tokens"], answer["usage"]["total_tokens"]) == (9, 12)
    assert stage.settled[0].completion_tokens == 9


def test_the_last_choice_of_a_stream_tells_what_all_have_used(stage: Stage) -> None:
    client = stage.client().ask(n=2, stream=True)
    assert "logprobs" not in stage.server.last.request.json()
    server = stage.server.last.begin_stream()
    for index, tokens in ((1, 2), (0, 4)):
        finish = {"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}
        usage = {"choices": [], "usage": USAGE | {"completion_tokens": tokens}}
        server.stream(*(b"data: " + json.dumps(event).encode() for event in (finish, usage)))
    server.stream(DONE).end_stream()
    usages = [json.loads(event)["usage"] for event in client.answer().events[:-1]]
    assert [usage["completion_tokens"] for usage in usages] == [2, 6]
    assert usages[-1]["total_tokens"] == 9
    assert stage.settled[0].completion_tokens == 6
