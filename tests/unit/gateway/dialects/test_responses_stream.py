"""The chunks of a chat stream become the events of a response."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.dialect import Writer
from abyssal.gateway.dialects.responses import Responses
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ErrorObject
from abyssal.wire.sse import EventDecoder

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def writer_for(**fields: Any) -> Writer:
    return (
        Responses().read(json.dumps({"model": "m", "input": "hi", "stream": True} | fields).encode()).writer
    )


def chunk(
    finish: str | None = None, *, usage: Any = None, logprobs: Any = None, **delta: Any
) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    fields = {"id": "u-1", "created": 5, "model": "mm", "choices": [choice], "usage": usage}
    return msgspec.convert(fields, ChatCompletionChunk)


def piece(index: int | None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}} | fields]}


def read(data: bytes) -> list[dict[str, Any]]:
    """The events in `data`, whose types agree, and which are numbered without a gap."""
    decoder = EventDecoder()
    found = decoder.feed(data)
    assert data.count(b"\n\n") == len(found)
    events = [json.loads(event.data) for event in found]
    assert [event["type"] for event in events] == [event.type for event in found]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def events_of(*chunks: ChatCompletionChunk, **fields: Any) -> list[dict[str, Any]]:
    writer = writer_for(**fields)
    return read(b"".join([*(writer.chunk(one) for one in chunks), writer.end()]))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_whole_stream() -> None:
    events = events_of(
        chunk(role="assistant", content=None, reasoning_content=""),
        chunk(reasoning_content="H"),
        chunk(reasoning_content="m"),
        chunk(content="Hel\n"),
        chunk(content="lo", reasoning_content=None),
        chunk("stop", content="", usage=USAGE),
    )
    assert kinds(events) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    created, last = events[0]["response"], events[-1]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert created == events[1]["response"]
    assert (last["id"], last["status"]) == (created["id"], "completed")
    assert last["usage"]["total_tokens"] == 7
    assert last["output"] == [events[8]["item"], events[15]["item"]]
    assert events[4] == {
        "type": "response.reasoning_text.delta",
        "item_id": "rs_u1_0",
        "output_index": 0,
        "content_index": 0,
        "delta": "H",
        "sequence_number": 4,
    }
    assert events[11] == {
        "type": "response.output_text.delta",
        "item_id": "msg_u1_1",
        "output_index": 1,
        "content_index": 0,
        "delta": "Hel\n",
        "logprobs": [],
        "sequence_number": 11,
    }
    assert (events[6]["text"], events[13]["text"]) == ("Hm", "Hel\nlo")
    assert events[2]["item"] == {
        "type": "reasoning", "id": "rs_u1_0", "status": "in_progress", "content": [], "summary": [],
    }  # fmt: skip
    assert events[3]["part"] == {"type": "reasoning_text", "text": ""}
    assert events[9]["item"]["status"] == "in_progress"


def test_each_delta_is_written_when_its_chunk_comes() -> None:
    writer = writer_for()
    assert kinds(read(writer.chunk(chunk(role="assistant", content="")))) == ["created", "in_progress"]
    assert b'"delta":"a"' in writer.chunk(chunk(content="a"))
    assert writer.chunk(chunk(content="b")).count(b"\n\n") == 1
    assert writer.chunk(chunk(content="")) == b""


def test_function_calls() -> None:
    events = events_of(
        chunk(content="I add."),
        chunk(**piece(0, "", id="c1", name="add", type="function")),
        chunk(**piece(0, '{"a"')),
        chunk(**piece(1, "", id="c2", name="sub", type="function")),
        chunk(**piece(0, ":1}")),
        chunk(**piece(1, "{}")),
        chunk("tool_calls", usage=USAGE),
    )
    assert kinds(events)[4:] == [
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert events[8]["item"] == {
        "type": "function_call", "id": "fc_u1_1", "status": "in_progress", "call_id": "c1", "name": "add",
        "arguments": "",
    }  # fmt: skip
    assert events[9] == {
        "type": "response.function_call_arguments.delta",
        "item_id": "fc_u1_1",
        "output_index": 1,
        "delta": '{"a"',
        "sequence_number": 9,
    }
    assert events[13] == {
        "type": "response.function_call_arguments.done",
        "item_id": "fc_u1_1",
        "output_index": 1,
        "name": "add",
        "arguments": '{"a":1}',
        "sequence_number": 13,
    }
    output = events[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in output[1:]] == [("c1", '{"a":1}'), ("c2", "{}")]


CALLS: list[tuple[str, list[dict[str, Any]], list[tuple[str, str, str]]]] = [
    (
        "two calls under one index",
        [piece(0, "{}", id="a", name="f"), piece(0, "[]", id="b", name="g")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    (
        "no index",
        [piece(None, "", id="a", name="f"), piece(None, "{}"), piece(None, "[]", id="b", name="g")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    (
        "the id and the name in every piece",
        [piece(0, "{", id="a", name="f"), piece(0, "}", id="a", name="f")],
        [("a", "f", "{}")],
    ),
    ("a name that comes late", [piece(0, None, id="a"), piece(0, "{}", name="f")], [("a", "f", "{}")]),
    (
        "an id that comes late",
        [piece(0, None, name="f"), piece(0, "{}", id="a")],
        [("call_u1_0", "f", "{}")],
    ),
    (
        "one id twice",
        [piece(0, "{}", id="a", name="f"), piece(1, "{}", id="a", name="f")],
        [("a", "f", "{}"), ("call_u1_1", "f", "{}")],
    ),
    ("no arguments at all", [piece(0, None, id="a", name="f")], [("a", "f", "")]),
]


@pytest.mark.parametrize(("pieces", "calls"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_calls_as_servers_send_them(pieces: list[dict[str, Any]], calls: list[tuple[str, str, str]]) -> None:
    events = events_of(*(chunk(**one) for one in pieces), chunk("tool_calls"))
    output = events[-1]["response"]["output"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in output] == calls
    added = [event["item"]["call_id"] for event in events if event["type"].endswith("item.added")]
    assert added == [call_id for call_id, _, _ in calls]


def test_text_after_a_call_is_a_message_of_its_own() -> None:
    events = events_of(
        chunk(content="a"), chunk(**piece(0, "{}", id="c", name="f")), chunk(content="b"), chunk("stop")
    )
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert len({item["id"] for item in output}) == 3


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("insufficient_system_resource", "failed", None),
        ("aborted", "failed", None),
    ],
)
def test_a_stream_cut_short(finish: str, status: str, reason: str | None) -> None:
    events = events_of(chunk(reasoning_content="Hm"), chunk(content="He"), chunk(finish, usage=USAGE))
    last = events[-1]
    assert last["type"] == f"response.{status}"
    response = last["response"]
    assert response["status"] == status
    assert response["incomplete_details"] == (reason and {"reason": reason})
    assert (response["error"] is not None) == (status == "failed")
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert events[-2]["item"] == response["output"][1]
    assert response["usage"]["output_tokens"] == 4


def test_of_calls_cut_short_the_last_is_incomplete() -> None:
    pieces = [piece(0, "{}", id="a", name="f"), piece(1, "{", id="b", name="g")]
    output = events_of(*(chunk(**one) for one in pieces), chunk("length"))[-1]["response"]["output"]
    assert [item["status"] for item in output] == ["completed", "incomplete"]


def test_an_error_ends_it() -> None:
    writer = writer_for()
    data = writer.chunk(chunk(reasoning_content="Hm")) + writer.chunk(chunk(content="He"))
    data += writer.broken(ErrorObject("The upstream broke.", "upstream_error", None, "upstream_broken"))
    events = read(data)
    last = events[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "upstream_broken", "message": "The upstream broke."}
    assert last["response"]["status"] == "failed"
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    assert last["response"]["output"][1]["content"][0]["text"] == "He"
    assert kinds(events)[-2] == "output_text.delta"


@pytest.mark.parametrize("how", ["error", "end"])
def test_a_stream_that_never_began_says_so_in_order(how: str) -> None:
    writer = writer_for()
    events = read(writer.broken(ErrorObject("No.", code=7)) if how == "error" else writer.end())
    assert kinds(events) == ["created", "in_progress", "failed"]
    assert len({event["response"]["id"] for event in events}) == 1
    assert events[-1]["response"]["model"] == "m"
    assert events[-1]["response"]["error"]["code"] == ("7" if how == "error" else "server_error")


def test_nothing_said_is_an_empty_message() -> None:
    events = events_of(chunk(role="assistant", reasoning_content="Hm"), chunk("stop"))
    assert kinds(events)[-6:] == [
        "output_item.added", "content_part.added", "output_text.done", "content_part.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    assert [item["status"] for item in events[-1]["response"]["output"]] == ["completed", "completed"]


def test_usage_on_a_chunk_of_its_own() -> None:
    alone = msgspec.convert({"id": "u-1", "choices": [], "usage": USAGE}, ChatCompletionChunk)
    events = events_of(chunk(content="a"), chunk("length"), chunk(), alone)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["usage"]["total_tokens"] == 7


def test_log_probabilities() -> None:
    rival = {"token": "b", "logprob": -2.0, "bytes": [98]}
    tokens = [{"token": letter, "logprob": -0.5, "top_logprobs": [rival]} for letter in "ac"]
    events = events_of(
        chunk(content="a", logprobs={"content": tokens[:1]}),
        chunk(content="c", logprobs={"content": tokens[1:]}),
        chunk("stop"),
    )
    deltas = [event for event in events if event["type"].endswith("text.delta")]
    assert [event["logprobs"][0]["token"] for event in deltas] == ["a", "c"]
    assert deltas[0]["logprobs"][0]["top_logprobs"][0]["token"] == "b"
    done = next(event for event in events if event["type"].endswith("text.done"))
    assert done["logprobs"] == [event["logprobs"][0] for event in deltas]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == done["logprobs"]


texts = st.text(min_size=1, max_size=6)


@given(
    thought=st.lists(texts, max_size=3),
    said=st.lists(texts, max_size=3),
    calls=st.lists(st.tuples(texts, st.lists(texts, max_size=3)), max_size=3),
    finish=st.sampled_from(["stop", "length", "aborted"]),
)
def test_a_stream_ends_in_what_a_whole_answer_says(
    thought: list[str], said: list[str], calls: list[tuple[str, list[str]]], finish: str
) -> None:
    chunks = [chunk(reasoning_content=one) for one in thought] + [chunk(content=one) for one in said]
    for index, (name, arguments) in enumerate(calls):
        chunks.append(chunk(**piece(index, "", id=f"c{index}", name=name)))
        chunks += [chunk(**piece(index, one)) for one in arguments]
    events = events_of(*chunks, chunk(finish, usage=USAGE), instructions="line\nline")

    message = {
        "content": "".join(said),
        "reasoning_content": "".join(thought),
        "tool_calls": [
            {"id": f"c{index}", "function": {"name": name, "arguments": "".join(arguments)}}
            for index, (name, arguments) in enumerate(calls)
        ],
    }
    choice = {"message": message, "finish_reason": finish}
    answer = {"id": "u-1", "created": 5, "model": "mm", "choices": [choice], "usage": USAGE}
    whole = writer_for(instructions="line\nline").answer(msgspec.convert(answer, ChatCompletion))
    assert events[-1]["type"] in TERMINAL
    assert events[-1]["response"] == json.loads(whole)

    for at, item in enumerate(events[-1]["response"]["output"]):
        mine = [event for event in events if event.get("output_index") == at]
        assert mine[0]["type"] == "response.output_item.added"
        assert mine[-1]["type"] == "response.output_item.done"
        assert mine[-1]["item"] == item
        text = item.get("arguments", "") or "".join(part["text"] for part in item.get("content", ()))
        assert "".join(event.get("delta", "") for event in mine) == text
