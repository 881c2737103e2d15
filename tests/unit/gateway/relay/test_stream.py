"""A streamed call: events as they come, usage on the finishing chunk, comments in silence."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.messages import DONE, LAST, USAGE, chunk
from tests.unit.gateway.stage import Client, ServerConnection, Stage

USAGE_CHUNK = b"data: " + json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode()


def begun(stage: Stage) -> tuple[Client, ServerConnection]:
    client = stage.client().ask(stream=True)
    return client, stage.server.last.begin_stream()


def said(event: bytes) -> str:
    return event.decode().removeprefix("data: ")


def test_events_are_passed_on_at_once(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk("a"))
    assert client.answers()[0].events == [said(chunk("a"))]
    server.stream(chunk("b"), chunk("c"))
    assert client.answers()[0].events[1:] == [said(chunk("b")), said(chunk("c"))]
    server.stream(LAST, DONE).end_stream()
    assert client.answer().events[-2:] == [said(LAST), "[DONE]"]
    assert not client.gone
    assert not server.closed


def test_the_head_of_a_stream(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(LAST, DONE).end_stream()
    answer = client.answer()
    assert answer.status == 200
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("transfer-encoding") == "chunked"


def test_a_stream_is_settled_before_the_client_reads_its_end(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk())
    assert stage.settled == []
    server.stream(LAST, DONE)
    (settled,) = stage.settled
    assert (settled.status, settled.code, settled.stream, settled.estimated) == (200, "", True, False)
    assert (settled.prompt_tokens, settled.completion_tokens) == (11, 5)
    server.end_stream()
    assert client.answer().complete


def test_usage_in_its_own_chunk_is_folded_into_the_finishing_one(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk("a"), chunk("", "stop")).stream(USAGE_CHUNK, DONE).end_stream()
    events = client.answer().events
    assert len(events) == 3
    assert json.loads(events[1])["usage"] == USAGE
    assert stage.settled[0].prompt_tokens == 11


def test_the_official_service_s_stream_is_not_touched(make_stage: object) -> None:
    stage: Stage = make_stage(kind="deepseek")  # type: ignore[operator]
    client, server = begun(stage)
    server.stream(chunk("", "stop"), USAGE_CHUNK, DONE).end_stream()
    assert client.answer().events == [said(chunk("", "stop")), said(USAGE_CHUNK), "[DONE]"]


def test_done_without_its_blank_line_is_completed(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk(), LAST).say(b"c\r\ndata: [DONE]\r\n").end_stream()
    assert client.answer().events[-1] == "[DONE]"
    assert stage.settled[0].status == 200


def test_a_missing_done_is_added(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk(), LAST).end_stream()
    assert client.answer().events == [said(chunk()), said(LAST), "[DONE]"]
    assert stage.settled[0].status == 200


def test_a_stream_that_ends_with_its_connection(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    events = b"\n\n".join((chunk(), LAST, DONE, b""))
    stage.server.last.say(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n\r\n" + events).close()
    assert client.answer().events == [said(chunk()), said(LAST), "[DONE]"]
    assert stage.settled[0].status == 200


def test_a_stream_with_a_length(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    events = b"\n\n".join((chunk(), LAST, DONE, b""))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(events)
    stage.server.last.say(head + events, size=11)
    assert client.answer().events[-1] == "[DONE]"


def test_an_error_event_of_the_upstream_is_passed_on_and_settled_as_one(stage: Stage) -> None:
    error = b'data: {"error":{"message":"out of memory","code":500}}'
    for ending in ((error,), (error, DONE)):
        client, server = begun(stage)
        server.stream(chunk(), *ending).end_stream()
        assert [json.loads(event)["error"]["code"] for event in client.answer().events[1:2]] == [500]
        assert stage.settled[-1].status == 502
        assert stage.settled[-1].code == "upstream_error_event"


def test_tokens_of_a_stream_without_usage_are_estimated_from_its_events(stage: Stage) -> None:
    _, server = begun(stage)
    server.stream(*[chunk("data: x")] * 20, chunk("", "stop"), DONE).end_stream()
    (settled,) = stage.settled
    assert settled.estimated
    assert settled.completion_tokens == 21


# Comments in silence


def test_a_silent_upstream_is_covered_by_comments_every_15_seconds(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(chunk("a"))
    stage.pass_time(14.0)
    assert len(client.answers()[0].events) == 1
    stage.pass_time(2.0)
    assert client.answers()[0].events[1:] == [": keep-alive"]
    stage.pass_time(15.0)
    assert client.answers()[0].events[1:] == [": keep-alive"] * 2
    server.stream(LAST, DONE).end_stream()
    assert client.answer().events[-1] == "[DONE]"


def test_a_comment_begins_the_stream_when_the_upstream_has_not(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.pass_time(16.0)
    assert client.answers()[0].status == 200
    assert client.answers()[0].events == [": keep-alive"]
    stage.server.last.begin_stream().stream(chunk("a"), LAST, DONE).end_stream()
    answer = client.answer()
    assert answer.events == [": keep-alive", said(chunk("a")), said(LAST), "[DONE]"]
    assert client.bytes.count(b"HTTP/1.1") == 1
    assert stage.settled[0].status == 200


@pytest.mark.parametrize(
    "body", [b'{"error":{"message":"full","type":"x","param":null,"code":null}}', b"full", b""]
)
def test_an_error_that_comes_after_a_comment_is_an_event(stage: Stage, body: bytes) -> None:
    client = stage.client().ask(stream=True)
    stage.pass_time(16.0)
    stage.server.last.answer(body, status=503)
    events = client.answer().events
    assert events[0] == ": keep-alive"
    assert set(json.loads(events[1])["error"]) == {"message", "type", "param", "code"}
    assert len(events) == 2
    assert stage.settled[0].status == 503


def test_an_error_in_several_lines_is_still_one_event(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.pass_time(16.0)
    stage.server.last.answer(b'{\r\n  "error": {\r\n"message": "full"}\r\n}', status=503)
    assert b"\r\n  " not in client.answer().body
    assert json.loads(client.answer().events[1])["error"]["message"] == "full"


def test_a_plain_call_gets_no_comments(stage: Stage) -> None:
    client = stage.client().ask()
    stage.pass_time(100.0)
    assert client.bytes == b""
    stage.server.last.answer()
    assert client.answer().status == 200


def test_the_engine_s_streams_may_be_silent_too(make_stage: object) -> None:
    stage: Stage = make_stage(  # type: ignore[operator]
        '[[upstreams]]\nname="engine"\nkind="engine"\n[[models]]\nname="m"\ntargets=[{upstream="engine"}]\n'
    )
    stage.upstream.available = True
    client = stage.client().ask(stream=True)
    stage.pass_time(16.0)
    stage.server.last.begin_stream().stream(chunk("a", system_fingerprint="b1-2"), chunk("", "stop"))
    stage.server.last.stream(USAGE_CHUNK, DONE).end_stream()
    events = client.answer().events
    assert json.loads(events[1])["system_fingerprint"] == "tiny-1"
    assert json.loads(events[2])["usage"]["prompt_cache_miss_tokens"] == 11


# However the bytes come


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.integers(1, 400), max_size=8), st.sampled_from((b"\n\n", b"\r\n\r\n")))
def test_a_stream_cut_anywhere_is_the_same_to_the_client(stage: Stage, sizes: list[int], end: bytes) -> None:
    events = end.join(
        (b": hi", chunk("a"), chunk("中\n\ndata: [DONE]"), chunk("", "stop"), USAGE_CHUNK, DONE, b"")
    )
    data = b"".join(
        b"%x\r\n%b\r\n" % (len(events[at : at + 97]), events[at : at + 97])
        for at in range(0, len(events), 97)
    )
    data = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + data
        + b"0\r\n\r\n"
    )
    client = stage.client().ask(stream=True)
    server = stage.server.last
    for size in sizes:
        server.say(data[:size])
        data = data[size:]
    server.say(data)
    answer = client.answer()
    found = [line for line in answer.body.decode().splitlines() if line.startswith("data:")]
    assert [json.loads(line[5:])["choices"][0]["delta"]["content"] for line in found[:2]] == [
        "a",
        "中\n\ndata: [DONE]",
    ]
    assert json.loads(found[2][5:])["usage"] == USAGE
    assert found[3:] == ["data: [DONE]"]
    assert stage.settled[-1].completion_tokens == 5
    client.leave()


def test_a_compressed_stream_is_passed_on_as_it_is(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    compressed = b"\x1f\x8b" + bytes(range(256)) * 20 + b"\n\n tail without an end"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
    stage.server.last.say(head + b"content-length: %d\r\n\r\n" % len(compressed) + compressed, size=1000)
    answer = client.answer()
    assert answer.body == compressed
    assert answer.header("content-encoding") == "gzip"
    assert stage.settled[0].estimated
