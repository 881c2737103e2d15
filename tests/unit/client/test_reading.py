"""Streams, from bytes to chunks and from chunks to one completion. No sockets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.client.assembly import CHAT_STREAM
from abyssal.client.reading import StreamReader, may_be_stream
from abyssal.client.settings import Secret
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import (
    AbyssalError,
    ApiConnectionError,
    ApiTimeoutError,
    BadRequestError,
    InternalServerError,
    ProtocolError,
    RateLimitError,
    StreamInterruptedError,
    UnavailableError,
    UpstreamBrokenError,
    UpstreamTimeoutError,
)

from .raw_server import DONE, chunk

HEADERS = {"x-request-id": "req-7"}


def opened() -> StreamReader[ChatCompletionChunk, ChatCompletion]:
    return StreamReader(CHAT_STREAM, HEADERS, Secret("sk-secret-key"))


def event(value: Any, kind: bytes = b"") -> bytes:
    return (
        b"event: " * bool(kind) + kind + b"\n" * bool(kind) + b"data: " + msgspec.json.encode(value) + b"\n\n"
    )


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> bytes:
    return event({"choices": [{"index": index, "delta": fields, "finish_reason": finish}]})


def final(*events: bytes) -> ChatCompletion:
    reader = opened()
    reader.feed(b"".join(events))
    reader.feed(b"")
    if reader.failure is not None:
        raise reader.failure
    return reader.final_completion()


def failure(*pieces: bytes) -> AbyssalError | None:
    reader = opened()
    for piece in pieces:
        if not reader.ended:
            reader.feed(piece)
    assert reader.ended
    return reader.failure


def test_chunks_until_done_and_nothing_after() -> None:
    reader = opened()
    chunks = reader.feed(chunk("a") + b": keep-alive\n\n" + chunk("b") + DONE + chunk("c"))
    assert [one.choices[0].delta.content for one in chunks] == ["a", "b"]
    assert reader.ended
    assert reader.failure is None
    assert reader.request_id == "req-7"


def test_text_cut_within_a_character() -> None:
    stream = chunk("深海🐋") + DONE
    for place in range(len(stream)):
        reader = opened()
        chunks = [*reader.feed(stream[:place] or b": \n"), *reader.feed(stream[place:])]
        assert [one.choices[0].delta.content for one in chunks] == ["深海🐋"]


def test_the_end_without_done_is_an_end_if_all_choices_ended() -> None:
    assert failure(chunk("a"), chunk(finish="stop"), b"") is None
    assert failure(chunk("a"), DONE.rstrip(), b"") is None
    assert isinstance(failure(chunk("a"), b""), StreamInterruptedError)
    assert isinstance(failure(b""), StreamInterruptedError)
    assert isinstance(failure(delta(0, "stop"), delta(1, content="b"), b""), StreamInterruptedError)


def test_what_came_before_the_cut_is_kept() -> None:
    reader = opened()
    reader.feed(chunk("Hel") + chunk("lo"))
    reader.feed(b"")
    assert isinstance(reader.failure, StreamInterruptedError)
    assert reader.completion().choices[0].message.content == "Hello"
    assert reader.completion().choices[0].finish_reason is None


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (
            {"error": {"message": "m", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
            RateLimitError,
        ),
        (
            {"error": {"message": "m", "type": "upstream_error", "code": "upstream_timeout"}},
            UpstreamTimeoutError,
        ),
        ({"error": {"message": "m", "type": "upstream_error"}}, UpstreamBrokenError),
        ({"error": {"message": "m", "type": "service_unavailable_error", "code": None}}, UnavailableError),
        ({"error": {"message": "m", "type": "invalid_request_error", "param": "stop"}}, BadRequestError),
        ({"error": {"message": "m", "code": 429}}, RateLimitError),
        ({"error": {"message": "m", "code": "503"}}, UnavailableError),
        ({"error": {"message": "m", "type": "never heard of", "code": True}}, InternalServerError),
        ({"error": "m"}, InternalServerError),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, BadRequestError),
        ({"error": {"message": "m", "code": 42}}, InternalServerError),
    ],
)
@pytest.mark.parametrize("event_type", [b"", b"error"])
def test_an_error_event_ends_the_stream_with_the_right_error(
    told: dict[str, Any], kind: type[AbyssalError], event_type: bytes
) -> None:
    reader = opened()
    chunks = reader.feed(chunk("a") + event(told, event_type) + chunk("b") + DONE)
    assert [one.choices[0].delta.content for one in chunks] == ["a"]
    error = reader.failure
    assert type(error) is kind
    assert error.message == "m"
    assert error.request_id == "req-7"


def test_an_error_event_that_is_no_json() -> None:
    error = failure(b"event: error\ndata: overloaded\n\n")
    assert isinstance(error, InternalServerError)
    assert error.message == "overloaded"


def test_the_key_is_not_in_an_echo_of_it() -> None:
    error = failure(event({"error": {"message": "bad key sk-secret-key!"}}))
    assert error is not None
    assert error.message == "bad key ****!"


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"1", b'{"choices": 1}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"']
)
def test_a_chunk_that_is_none(data: bytes) -> None:
    assert isinstance(failure(chunk("a") + b"data: " + data + b"\n\n"), ProtocolError)


def test_unknown_event_types_are_passed_over() -> None:
    assert failure(event({"ping": 1}, b"ping") + chunk("a") + DONE) is None


def test_faults_of_the_connection() -> None:
    reader = opened()
    reader.feed_fault(ApiTimeoutError("silence"))
    assert type(reader.failure) is ApiTimeoutError
    reader = opened()
    reader.feed_fault(ApiConnectionError("reset by peer"))
    assert type(reader.failure) is StreamInterruptedError
    assert "reset by peer" in str(reader.failure)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (200, "text/event-stream; charset=utf-8", True),
        (200, "", True),
        (200, "application/octet-stream", True),
        (200, "application/json", False),
        (200, "Text/HTML; charset=utf-8", False),
        (503, "text/event-stream", False),
    ],
)
def test_what_may_be_a_stream(status: int, kind: str, expected: bool) -> None:
    assert may_be_stream(status, {"content-type": kind} if kind else {}) is expected


def test_assembly_of_reasoning_then_content_then_usage() -> None:
    answer = final(
        event(
            {
                "id": "i",
                "created": 5,
                "model": "m",
                "system_fingerprint": "fp",
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": None, "reasoning_content": ""}}
                ],
            }
        ),
        delta(reasoning_content="2+"),
        delta(reasoning_content="2"),
        delta(content="4"),
        delta(content="!", finish="length"),
        event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
        DONE,
    )
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.reasoning_content, choice.message.content) == (
        "assistant",
        "2+2",
        "4!",
    )
    assert (choice.finish_reason, answer.usage and answer.usage.total_tokens) == ("length", 3)
    assert (answer.id, answer.created, answer.model, answer.system_fingerprint) == ("i", 5, "m", "fp")
    assert (answer.object, answer.request_id) == ("chat.completion", "req-7")


def test_assembly_of_tool_calls_by_index() -> None:
    def piece(index: int | None, **fields: Any) -> dict[str, Any]:
        return ({} if index is None else {"index": index}) | fields

    answer = final(
        delta(tool_calls=[piece(1, id="call_01", type="function", function={"name": "g", "arguments": ""})]),
        delta(tool_calls=[piece(0, id="call_00", function={"name": "f", "arguments": '{"a"'})]),
        delta(tool_calls=[piece(0, function={"arguments": ": 1}"}), piece(1, function={"arguments": "{}"})]),
        delta(finish="tool_calls"),
        DONE,
    )
    calls = answer.choices[0].message.tool_calls or []
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_00", "f", '{"a": 1}'),
        ("call_01", "g", "{}"),
    ]
    assert answer.choices[0].message.content is None


def test_assembly_of_tool_calls_without_index() -> None:
    answer = final(
        delta(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
        delta(tool_calls=[{"function": {"arguments": "}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        DONE,
    )
    calls = answer.choices[0].message.tool_calls or []
    assert [(call.id, call.function.arguments) for call in calls] == [("a", "{}"), ("b", "{}")]


def test_assembly_of_several_choices_of_logprobs_and_of_the_older_function_call() -> None:
    log = {"content": [{"token": "t", "logprob": -1}]}
    answer = final(
        event({"choices": [{"index": 1, "delta": {"content": "b"}, "logprobs": log}]}),
        event({"choices": [{"index": 0, "delta": {"function_call": {"name": "f", "arguments": "{"}}}]}),
        event({"choices": [{"index": 1, "delta": {}, "logprobs": log}]}),
        event({"choices": [{"index": 0, "delta": {"function_call": {"arguments": "}"}}}]}),
        DONE,
    )
    first, second = answer.choices
    assert first.message.function_call is not None
    assert (first.message.function_call.name, first.message.function_call.arguments) == ("f", "{}")
    assert first.logprobs is None
    assert second.message.content == "b"
    assert second.logprobs is not None
    assert len(second.logprobs.content or []) == 2


@given(st.lists(st.text(max_size=5), max_size=10), st.lists(st.integers(0, 2000), max_size=10))
def test_any_cut_gives_the_same_completion(texts: list[str], cuts: list[int]) -> None:
    stream = b"".join(chunk(text) for text in texts) + chunk(finish="stop") + DONE
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = opened()
    for start, end in pairwise(places):
        if start < end:
            reader.feed(stream[start:end])
    assert reader.failure is None
    expected = "".join(texts) if texts else None
    assert reader.final_completion().choices[0].message.content == expected
