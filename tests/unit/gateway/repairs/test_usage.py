"""Usage that nobody counted, blank lines and comments: what a client sees of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, USAGE, chunk, completion
from tests.unit.gateway.stage import Stage

MakeStage = Callable[..., Stage]
CONFIG = """
[[upstreams]]
name = "up"
kind = "{kind}"
base_url = "http://up.test"
repairs = {{ {repairs} }}
[[models]]
name = "m"
targets = [{{ upstream = "up" }}]
"""


def config(kind: str = "openai", repairs: str = "") -> str:
    return CONFIG.format(kind=kind, repairs=repairs)


@pytest.mark.parametrize("usage", [None, "x", {"prompt_tokens": -1}])
def test_a_whole_answer_without_usage_gets_an_estimate(stage: Stage, usage: Any) -> None:
    client = stage.client().ask()
    choice = {
        "index": 0,
        "message": {"content": "x" * 40, "reasoning_content": "y" * 41},
        "finish_reason": "stop",
    }
    stage.server.last.answer(completion(usage=usage, choices=[choice], extra=[1]))
    answer = client.answer()
    told = answer.json()["usage"]
    assert told.pop("estimated") is True
    assert told["completion_tokens"] == 21
    assert told["prompt_tokens"] == pytest.approx(len(stage.server.last.request.body) / 4, abs=6)
    assert told["total_tokens"] == told["prompt_tokens"] + 21
    assert (answer.json()["choices"], answer.json()["extra"]) == ([choice], [1])
    assert answer.header("x-abyssal-repairs") == "usage"
    (settled,) = stage.settled
    assert (settled.prompt_tokens, settled.completion_tokens, settled.estimated) == (
        told["prompt_tokens"], 21, True,
    )  # fmt: skip


def test_usage_that_was_counted_is_left_alone(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer(completion())
    assert client.answer().body == completion()
    assert client.answer().header("x-abyssal-repairs") is None
    assert stage.settled[0].estimated is False


@pytest.mark.parametrize("body", [b"[1]", b'{"choices": 5}', b'{"choices": []}'])
def test_what_is_no_completion_gets_no_usage(stage: Stage, body: bytes) -> None:
    client = stage.client().ask()
    stage.server.last.answer(body)
    assert b"estimated" not in client.bytes


@pytest.mark.parametrize("done", [True, False])
def test_a_stream_without_usage_gets_an_estimate_on_its_finishing_chunk(stage: Stage, done: bool) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    for piece in "abcd":
        server.stream(chunk(piece))
    server.stream(chunk("", "stop"), *([DONE] if done else [])).end_stream()
    events = client.answer().events
    usage = json.loads(events[-2])["usage"]
    assert usage["estimated"] is True
    assert usage["completion_tokens"] == 5
    assert usage["prompt_tokens"] == pytest.approx(len(stage.server.last.request.body) / 4, abs=16)
    assert events[-1] == "[DONE]"
    (settled,) = stage.settled
    assert (settled.completion_tokens, settled.estimated) == (5, True)


def test_switched_off_nothing_is_estimated(make_stage: MakeStage) -> None:
    stage = make_stage(config(repairs="usage = false"))
    client = stage.client().ask()
    stage.server.last.answer(completion(usage=None))
    assert client.answer().body == completion(usage=None)
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk("a"), chunk("", "stop"), DONE).end_stream()
    assert b"usage" not in client.answer().body


@pytest.mark.parametrize("kind", ["deepseek", "openai"])
@pytest.mark.parametrize("blanks", [b"\n", b"\n\n\n\n", b"\r\n \n"])
def test_blank_lines_before_an_answer_are_swallowed(make_stage: MakeStage, kind: str, blanks: bytes) -> None:
    stage = make_stage(config(kind))
    client = stage.client().ask()
    stage.server.last.answer(blanks + completion())
    assert client.answer().body == completion()
    assert client.answer().header("x-abyssal-repairs") == "blank_lines"
    assert stage.settled[0].prompt_tokens == 11


def test_switched_off_blank_lines_pass(make_stage: MakeStage) -> None:
    stage = make_stage(config(repairs="blank_lines = false"))
    client = stage.client().ask()
    stage.server.last.answer(b"\n\n" + completion())
    assert client.answer().body == b"\n\n" + completion()
    assert client.answer().header("x-abyssal-repairs") is None


SIGNS: list[tuple[bytes, list[str]]] = [
    (b"\n\n\n\n", []),
    (b"\r\n\r\n", []),
    (b": keep-alive\n\n", [": keep-alive"]),
    (b": keep-alive\n", [": keep-alive"]),
    (b"\n: keep-alive\r\n", [": keep-alive"]),
    (b": one\n: two\n", [": one", ": two"]),
    (b"\n\n: keep-alive\n\n\n", [": keep-alive"]),
]


@pytest.mark.parametrize(("signs", "comments"), SIGNS)
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("kind", ["deepseek", "openai"])
def test_signs_of_life_in_a_stream_are_swallowed_or_clean_comments(
    make_stage: MakeStage, signs: bytes, comments: list[str], apart: bool, kind: str
) -> None:
    stage = make_stage(config(kind))
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    rest = chunk("a") + b"\n\n" + chunk("", "stop", usage=USAGE) + b"\n\n" + DONE + b"\n\n"
    for piece in [signs, rest] if apart else [signs + rest]:
        server.say(b"%x\r\n%b\r\n" % (len(piece), piece))
    server.end_stream()
    events = [event.strip() for event in client.answer().events]
    assert [event for event in events if event.startswith(":")] == comments
    rest_of = [event for event in events if event and not event.startswith(":")]
    assert [json.loads(event)["choices"][0]["delta"]["content"] for event in rest_of[:-1]] == ["a", ""]
    assert rest_of[-1] == "[DONE]"
    assert (stage.settled[0].status, stage.settled[0].completion_tokens) == (200, 5)
