"""Calls that a server left in the text, plain and streamed, cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, USAGE, chunk, completion
from tests.unit.gateway.stage import Client, Stage

from .test_tool_markup import TEXT, B, E, dsml, v3, v31

MakeStage = Callable[..., Stage]
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
TWO = B + v31("f", TEXT) + v3("g", "{}") + E
STOP = chunk("", "stop", usage=USAGE)


def asked(stage: Stage, **fields: Any) -> Client:
    return stage.client().ask(**({"tools": TOOLS} | fields))


def test_a_whole_answer(stage: Stage) -> None:
    client = asked(stage)
    stage.server.last.answer(completion("Let me see.\n\n" + TWO))
    answer = client.answer()
    choice = answer.json()["choices"][0]
    assert choice["message"]["content"] == "Let me see."
    calls = choice["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["f", "g"]
    assert calls[0]["function"]["arguments"] == TEXT
    assert [call["id"] for call in calls] == [f"call_0{at}_{answer.header('x-request-id')}" for at in (0, 1)]
    assert choice["finish_reason"] == "tool_calls"
    assert answer.header("x-abyssal-repairs") == "leaked_tool_calls"


UNTOUCHED: dict[str, tuple[dict[str, Any], bytes]] = {
    "another function": ({}, completion(B + v31("h", TEXT) + E)),
    "no call": ({}, completion("if a < b: print('<｜tool▁calls▁begin｜>')")),
    "no tools": ({"tools": None}, completion(TWO)),
    "calls as they should be": (
        {},
        completion(TWO, choices=[{"message": {"content": TWO, "tool_calls": [{"id": "x"}]}}]),
    ),
    "no content": ({}, completion(choices=[{"message": {"content": None}}], x="<")),
    "strange": ({}, b'{"choices": [5, {"message": 5}, {"message": {"content": ["<"]}}]}'),
}


@pytest.mark.parametrize(("fields", "body"), UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_is_no_leak_passes_as_it_came(stage: Stage, fields: dict[str, Any], body: bytes) -> None:
    client = asked(stage, **fields)
    stage.server.last.answer(body)
    assert client.answer().body == body
    assert client.answer().header("x-abyssal-repairs") is None


def test_switched_off_it_passes(make_stage: MakeStage) -> None:
    config = """
[[upstreams]]
name = "up"
kind = "openai"
base_url = "http://up.test"
repairs = { leaked_tool_calls = false }
[[models]]
name = "m"
targets = [{ upstream = "up" }]
"""
    stage = make_stage(config)
    client = asked(stage)
    stage.server.last.answer(completion(TWO))
    assert client.answer().body == completion(TWO)


def streamed(stage: Stage, pieces: list[str], finish: bytes = STOP) -> tuple[list[dict[str, Any]], list[str]]:
    """The chunks of a stream with these pieces, one read each, and its comments."""
    client = asked(stage, stream=True)
    server = stage.server.last.begin_stream()
    for piece in pieces:
        server.stream(chunk(piece))
    server.stream(finish, DONE).end_stream()
    events = client.answer().events
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events if event[0] == "{"], [
        event for event in events if event[0] == ":"
    ]


def told(chunks: list[dict[str, Any]]) -> tuple[str, list[Any], Any]:
    choices = [choice for one in chunks for choice in one["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    return text, calls, choices[-1]["finish_reason"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 1000])
@pytest.mark.parametrize("markup", [TWO, dsml("f", TEXT)], ids=["V3", "V3.2"])
def test_a_stream_cut_anywhere(stage: Stage, size: int, markup: str) -> None:
    said = "1 < 2. " + markup
    chunks, comments = streamed(stage, [said[at : at + size] for at in range(0, len(said), size)])
    text, calls, finish = told(chunks)
    assert (text, finish) == (
        "1 < 2. " if size < 1000 else "1 < 2.",
        "tool_calls",
    ) or text.rstrip() == "1 < 2."
    assert [call["index"] for call in calls] == list(range(len(calls)))
    assert calls[0]["function"] == {"name": "f", "arguments": TEXT}
    assert len({call["id"] for call in calls}) == len(calls)
    assert finish == "tool_calls"
    assert comments == [": x-abyssal-repairs: leaked_tool_calls"]
    assert chunks[-1]["usage"]["total_tokens"] == 16
    assert stage.settled[0].completion_tokens == 5


def test_text_goes_on_at_once_until_it_may_be_markup(stage: Stage) -> None:
    client = asked(stage, stream=True)
    server = stage.server.last.begin_stream().stream(chunk("Let me"))
    assert client.bytes.endswith(b"\r\n")
    assert b"Let me" in client.bytes
    server.stream(chunk(" see <｜to"))
    assert b" see " in client.bytes
    assert b"to" not in client.bytes.rpartition(b" see ")[2]
    server.stream(chunk("day"))
    assert "<｜today" in client.bytes.decode() or "\\uff5ctoday" in client.bytes.decode()
    server.stream(STOP, DONE).end_stream()
    assert client.answer().header("x-abyssal-repairs") is None


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        (B + v31("f", TEXT)[:-8], STOP),
        (B + v31("f", TEXT) + E, chunk("", "length", usage=USAGE)),
        (B + v31("h", TEXT) + E, STOP),
        ("ends with <｜tool", STOP),
        (B + "x" * 100_000, STOP),
    ],
    ids=["cut", "length", "another function", "a beginning", "too long"],
)
def test_what_is_no_call_after_all_is_the_text_that_it_is(stage: Stage, said: str, finish: bytes) -> None:
    chunks, comments = streamed(stage, [said[at : at + 900] for at in range(0, len(said), 900)], finish)
    text, calls, _ = told(chunks)
    assert (text, calls, comments) == (said, [], [])


def test_a_stream_that_breaks_off_gives_what_was_held(stage: Stage) -> None:
    client = asked(stage, stream=True)
    stage.server.last.begin_stream().stream(chunk("a" + B)).end_stream()
    events = client.answer().events
    chunks = [json.loads(event) for event in events if "choices" in event]
    assert told(chunks)[0] == "a" + B
    assert json.loads(events[-1])["error"]["code"] == "upstream_ended_early"


def test_content_in_parts_is_flattened_where_that_is_switched_on(make_stage: MakeStage) -> None:
    config = """
[[upstreams]]
name = "up"
kind = "openai"
base_url = "http://up.test"
repairs = { flat_content = FLAT }
[[models]]
name = "m"
targets = [{ upstream = "up" }]
"""
    text, more = {"type": "text", "text": "a"}, {"type": "text", "text": "想"}
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    marked = text | {"cache_control": {"type": "ephemeral"}}
    said = [[text, more], [text, image], [marked], "b", []]
    messages = [{"role": "user", "content": content, "name": "n"} for content in said]
    for flat in (True, False):
        stage = make_stage(config.replace("FLAT", str(flat).lower()))
        client = stage.client().ask(messages=messages)
        sent = stage.server.last.request.json()["messages"]
        assert [one["content"] for one in sent] == (
            ["a\n想", [text, image], [marked], "b", ""] if flat else said
        )
        assert all(one["name"] == "n" for one in sent)
        stage.server.last.answer()
        assert client.answer().header("x-abyssal-repairs") == ("flat_content" if flat else None)
