"""What an official stream becomes as Anthropic's events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.dialects.anthropic_events import events_of, message_of

from abyssal.client.assembly import CompletionAssembly
from abyssal.gateway.dialects.anthropic_stream import MessageWriter
from abyssal.wire.chat import ChatCompletionChunk
from abyssal.wire.errors import ErrorObject

USAGE = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_cache_hit_tokens": 64}
USED = {
    "input_tokens": 36, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 64, "output_tokens": 5,
}  # fmt: skip


def chunk(
    finish: str | None = None, usage: dict[str, Any] | None = None, **delta: Any
) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    fields = {"id": "1-2", "model": "deepseek-flash", "choices": [choice], "usage": usage}
    return msgspec.convert(fields, ChatCompletionChunk)


def piece(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: str | None = "") -> dict[str, Any]:  # fmt: skip
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def stream(*chunks: ChatCompletionChunk) -> bytes:
    writer = MessageWriter("claude-x")
    return b"".join([writer.chunk(one) for one in chunks]) + writer.end()


FIRST = chunk(role="assistant", content=None, reasoning_content="")


def test_the_events_of_an_answer_with_everything() -> None:
    bytes_sent = stream(
        FIRST,
        chunk(reasoning_content="H"),
        chunk(reasoning_content="m"),
        chunk(content="I\n\n"),
        chunk(tool_calls=[piece(0, "call_00_a", "weather")]),
        chunk(tool_calls=[piece(arguments='{"city":')]),
        chunk(tool_calls=[piece(arguments=' "x"}')]),
        chunk(tool_calls=[piece(1, "call_01_b", "now")]),
        chunk("tool_calls", USAGE, content=""),
    )
    start, *events = events_of(bytes_sent)
    zeros = dict.fromkeys(USED, 0)
    assert start["message"] == {
        "id": "msg_1-2", "type": "message", "role": "assistant", "model": "deepseek-flash", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": zeros,
    }  # fmt: skip

    def started(index: int, **block: Any) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def added(index: int, kind: str, **delta: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta"} | delta}

    def stopped(index: int) -> dict[str, Any]:
        return {"type": "content_block_stop", "index": index}

    assert events == [
        started(0, type="thinking", thinking="", signature=""),
        added(0, "thinking", thinking="H"),
        added(0, "thinking", thinking="m"),
        added(0, "signature", signature="1-2"),
        stopped(0),
        started(1, type="text", text=""),
        added(1, "text", text="I\n\n"),
        stopped(1),
        started(2, type="tool_use", id="call_00_a", name="weather", input={}),
        added(2, "input_json", partial_json='{"city":'),
        added(2, "input_json", partial_json=' "x"}'),
        stopped(2),
        started(3, type="tool_use", id="call_01_b", name="now", input={}),
        stopped(3),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": USED,
        },
        {"type": "message_stop"},
    ]


def test_the_first_chunk_is_told_at_once_and_each_piece_too() -> None:
    writer = MessageWriter("claude-x")
    assert [event["type"] for event in events_of(writer.chunk(FIRST))] == ["message_start"]
    assert [event["type"] for event in events_of(writer.chunk(chunk(content="a")))] == [
        "content_block_start", "content_block_delta",
    ]  # fmt: skip
    assert [event["type"] for event in events_of(writer.chunk(chunk(content="b")))] == ["content_block_delta"]
    assert writer.chunk(chunk("stop")) == b""


def test_thinking_may_come_again() -> None:
    parts = [
        chunk(reasoning_content="a"),
        chunk(content="b"),
        chunk(reasoning_content="c"),
        chunk(content="d"),
    ]
    kinds = [block["type"] for block in message_of(stream(*parts))["content"]]
    assert kinds == ["thinking", "text", "thinking", "text"]


def test_usage_on_a_chunk_without_choices() -> None:
    last = msgspec.convert({"choices": [], "usage": USAGE}, ChatCompletionChunk)
    message = message_of(stream(chunk(content="a"), chunk("length"), last))
    assert (message["usage"], message["stop_reason"]) == (USED, "max_tokens")


@pytest.mark.parametrize("chunks", [(), (FIRST,), (FIRST, chunk("stop"))])
def test_a_stream_that_says_nothing_is_a_whole_message(chunks: tuple[ChatCompletionChunk, ...]) -> None:
    message = message_of(stream(*chunks))
    assert (message["content"], message["stop_reason"]) == ([], "end_turn")
    assert set(message["usage"].values()) == {0}


def test_calls_that_nobody_numbered() -> None:
    message = message_of(
        stream(
            chunk(tool_calls=[piece(None, "a", "one", '{"x":')]),
            chunk(tool_calls=[piece(None, None, None, "1}")]),
            chunk(tool_calls=[piece(None, "b", "two", "{}")]),
        )
    )
    assert [(block["id"], block["name"], block["input"]) for block in message["content"]] == [
        ("a", "one", {"x": 1}), ("b", "two", {}),
    ]  # fmt: skip


def test_a_call_without_an_id_gets_one() -> None:
    (block,) = message_of(stream(chunk(tool_calls=[piece(0, None, "one")])))["content"]
    assert block["id"] == "call_0"


def test_name_and_id_that_come_with_every_piece() -> None:
    parts = [chunk(tool_calls=[piece(0, "a", "one", text)]) for text in ('{"x"', ":1}")]
    (block,) = message_of(stream(*parts))["content"]
    assert block["input"] == {"x": 1}


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        (
            [
                chunk(tool_calls=[piece(0, "a", "one"), piece(1, "b", "two")]),
                chunk(tool_calls=[piece(0, None, None, "{}"), piece(1, None, None, "{}")]),
            ],
            "The upstream went back to tool call 0, which had ended; try again.",
        ),
        (
            [chunk(content="x"), chunk(tool_calls=[piece(0, "a", None, "{}")])],
            "The upstream began tool call 0 without the tool's name; try again.",
        ),
    ],
)
def test_pieces_that_cannot_be_put_into_blocks_end_the_stream(
    chunks: list[ChatCompletionChunk], says: str
) -> None:
    events = events_of(stream(*chunks, chunk(content="more"), chunk("stop")))
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": says, "param": None, "code": "upstream_garbage"},
    }


@pytest.mark.parametrize(
    ("kind", "code", "becomes"),
    [
        ("upstream_error", "upstream_closed", "api_error"),
        ("upstream_error", "upstream_timeout", "timeout_error"),
        ("service_unavailable_error", "queue_full", "overloaded_error"),
        ("rate_limit_error", None, "rate_limit_error"),
        ("invalid_request_error", None, "invalid_request_error"),
        ("insufficient_balance_error", None, "billing_error"),
        ("never heard of", None, "api_error"),
    ],
)
def test_an_error_is_the_last_event(kind: str, code: str | None, becomes: str) -> None:
    writer = MessageWriter("claude-x")
    writer.chunk(chunk(content="a"))
    sent = writer.broken(ErrorObject("It broke.", kind, None, code))
    (event,) = events_of(sent)
    assert event["error"] == {"type": becomes, "message": "It broke.", "param": None, "code": code}
    assert writer.end() == b""
    assert writer.chunk(chunk(content="b")) == b""


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.dictionaries(texts, st.none() | st.integers() | texts, max_size=3)


@given(
    reasoning=st.lists(texts, max_size=4),
    content=st.lists(texts, max_size=4),
    calls=st.lists(st.tuples(values, st.integers(0, 30)), max_size=3),
    finish=st.sampled_from(["stop", "length", "tool_calls", None]),
    usage=st.sampled_from([None, USAGE]),
)
def test_a_stream_tells_what_the_whole_answer_says(
    reasoning: list[str], content: list[str], calls: list[tuple[dict[str, Any], int]],
    finish: str | None, usage: dict[str, Any] | None,
) -> None:  # fmt: skip
    chunks = [FIRST, *(chunk(reasoning_content=text) for text in reasoning)]
    chunks += [chunk(content=text) for text in content]
    for number, (arguments, cut) in enumerate(calls):
        text = json.dumps(arguments)
        chunks.append(chunk(tool_calls=[piece(number, f"call_{number}", "t", text[:cut])]))
        chunks.append(chunk(tool_calls=[piece(number, None, None, text[cut:])]))
    chunks.append(chunk(finish, usage))
    assembly = CompletionAssembly()
    for one in chunks:
        assembly.add(one)
    whole = json.loads(MessageWriter("claude-x").answer(assembly.completion()))
    assert message_of(stream(*chunks)) == whole
