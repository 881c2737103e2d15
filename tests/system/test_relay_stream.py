"""Streams: event by event, `usage` where the official service puts it, and signs of life in silence."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from abyssal.testing import Answer, WireResponse, tool_call

from .calls import Gateway, body, chunks, events, text_of

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
OPTIONS = {
    "none": {},
    "asked": {"stream_options": {"include_usage": True}},
    "not": {"stream_options": {"include_usage": False}},
}


def test_an_event_arrives_before_the_next_is_sent(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["one", "two", "three"], every=0.2))
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open", stream=True)))
        sizes = []
        for piece in (b'"one"', b'"two"', b'"three"'):
            connection.read_until(piece)
            sizes.append(gateway.upstream.requests[-1].bytes_sent)
            assert not gateway.upstream.requests[-1].answered.is_set()
        connection.read_until(b"data: [DONE]\n\n")
    assert sizes[0] < sizes[1] < sizes[2]
    assert not gateway.upstream.requests[-1].closed_by_peer.is_set()


@pytest.mark.parametrize("model", ["open", "official"])
def test_a_stream_adds_no_wait_of_its_own(gateway: Gateway, model: str) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 20, every=0.02))
    with gateway.connect() as connection:
        connection.send(gateway.request(body(model, stream=True)))
        began = time.monotonic()
        arrivals = []
        for _ in range(20):
            connection.read_until(b'"content":"x"')
            arrivals.append(time.monotonic() - began)
    waits = sorted(late - early for early, late in itertools.pairwise(arrivals))
    assert 0.01 < waits[len(waits) // 2] < 0.035


def test_an_official_stream_is_passed_on_byte_for_byte(gateway: Gateway) -> None:
    stream = (
        b": keep-alive\n\n"
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""}}],'
        b'"usage":null}\n\n'
        b'data:{"choices": [{"index":0,"delta":{"content":"\xe4\xbd\xa0","reasoning_content":null}}]}\n\n'
        b": keep-alive\n\n"
        b'event: message\nid: 7\ndata: {"choices":[{"index":0,"delta":{"content":"\xff"}}],\ndata: "x":1}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
        b"data: [DONE]\n\n"
    )
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + stream
    gateway.upstream.enqueue(Answer.raw(wire).dripped(50, 0.001))
    answer = gateway.ask(body("official", stream=True))
    assert answer.body == stream
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    assert answer.header("cache-control") == "no-cache"
    row = gateway.settlement(answer)
    assert (row["status"], row["stream"], row["prompt_tokens"], row["completion_tokens"]) == (200, 1, 5, 2)


def test_events_that_end_in_carriage_returns_are_passed_on(gateway: Gateway) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
    stream = (
        b'data: {"choices":[]}\r\n\r\n: ping\r\n\r\ndata: %b\r\n\r\ndata: [DONE]\r\n\r\n'
        % json.dumps(last).encode()
    )
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + stream
    for model in ("official", "open"):
        gateway.upstream.enqueue(Answer.raw(wire))
        answer = gateway.ask(body(model, stream=True))
        assert answer.body == stream
        assert gateway.settlement(answer)["completion_tokens"] == 4


@pytest.mark.parametrize("style", ["openai", "official"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "dripped"])
def test_usage_rides_on_the_finishing_chunk(
    gateway: Gateway, style: str, options: dict[str, object], drip: bool
) -> None:
    said = Answer.chat_stream(["a", "b"], usage=USAGE, usage_style=style)  # type: ignore[arg-type]
    gateway.upstream.enqueue(said.dripped(97, 0.0005) if drip else said)
    answer = gateway.ask(body("open", stream=True, **options))
    parts = chunks(answer.body)
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"
    assert parts[-1]["usage"] == USAGE
    assert not any(part.get("usage") for part in parts[:-1])
    assert all(part["choices"] for part in parts)
    assert text_of(parts) == "ab"
    assert gateway.upstream.requests[-1].json()["stream_options"]["include_usage"] is True
    assert gateway.settlement(answer)["prompt_tokens"] == 9


def test_stream_options_of_the_client_are_kept(gateway: Gateway) -> None:
    options = {"include_obfuscation": False, "include_usage": False}
    gateway.ask(body("open", stream=True, stream_options=options))
    sent = gateway.upstream.requests[-1].json()["stream_options"]
    assert sent == {"include_obfuscation": False, "include_usage": True}


def test_each_choice_of_several_is_finished(gateway: Gateway) -> None:
    def chunk(index: int, **choice: object) -> str:
        return "data: " + json.dumps({"choices": [{"index": index, "delta": {}, **choice}]}) + "\n\n"

    last = "data: " + json.dumps({"choices": [], "usage": USAGE}) + "\n\n"
    sent = [chunk(0), chunk(1), chunk(1, finish_reason="stop"), chunk(0, finish_reason="length"), last]
    gateway.upstream.enqueue(
        Answer.events([event.removesuffix("\n\n") + "\n\n" for event in [*sent, "data: [DONE]\n\n"]])
    )
    parts = chunks(gateway.ask(body("open", stream=True, n=2)).body)
    reasons = [(part["choices"][0]["index"], part["choices"][0].get("finish_reason")) for part in parts]
    assert reasons == [(0, None), (1, None), (1, "stop"), (0, "length")]
    assert [part.get("usage") for part in parts] == [None, None, None, USAGE]


@pytest.mark.parametrize("model", ["open", "official"])
def test_reasoning_comes_first_and_is_counted(gateway: Gateway, model: str) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["so", " four"], reasoning=["two", " and", " two"]))
    answer = gateway.ask(body(model, stream=True))
    parts = chunks(answer.body)
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": None, "reasoning_content": ""}
    assert (text_of(parts, "reasoning_content"), text_of(parts)) == ("two and two", "so four")
    assert gateway.settlement(answer)["reasoning_tokens"] == 3


def test_tool_calls_come_in_their_pieces(gateway: Gateway) -> None:
    call = tool_call("weather", {"city": "北京"}, id="call_00_x")
    gateway.upstream.enqueue(Answer.chat_stream([], tool_calls=[call]))
    parts = chunks(gateway.ask(body("open", stream=True)).body)
    pieces = [piece for part in parts for piece in part["choices"][0]["delta"].get("tool_calls", [])]
    assert pieces[0]["id"] == "call_00_x"
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces)) == {"city": "北京"}
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_without_done_is_given_one(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a"], done=False))
    answer = gateway.ask(body("official", stream=True))
    assert text_of(chunks(answer.body)) == "a"
    assert gateway.settlement(answer)["status"] == 200


def test_a_stream_to_an_http_1_0_client_ends_with_the_connection(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"]))
    wire = gateway.request(body("open", stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with gateway.connect() as connection:
        connection.send(wire)
        answer = connection.read_response()
    assert answer.until_close
    assert text_of(chunks(answer.body)) == "ab"


def test_one_event_of_a_megabyte_is_one_event(gateway: Gateway) -> None:
    text = "x" * 1_000_000
    for model in ("open", "official"):
        gateway.upstream.enqueue(Answer.chat_stream(["a", text, "b"]))
        assert text_of(chunks(gateway.ask(body(model, stream=True)).body)) == f"a{text}b"


@pytest.fixture(scope="module")
def slow(shared_gateway: Gateway) -> dict[str, WireResponse]:
    """Answers of an upstream that keeps silent for two seconds, all asked for at once."""
    error = Answer.error(429, "Slow\ndown", code="too_fast")
    return shared_gateway.ask_together(
        {
            "start": (body("open", "start", stream=True), Answer.chat_stream(["late"]).delayed(2.6)),
            "body": (body("official", "body", stream=True), Answer.chat_stream(["late"]).delayed(body=2.6)),
            "middle": (body("official", "middle", stream=True), Answer.chat_stream(["late"], every=1.7)),
            "error": (body("official", "error", stream=True), error.delayed(2.2)),
            "plain": (body("open", "plain"), Answer.chat("late").delayed(2.2)),
        }
    )


@pytest.mark.parametrize("where", ["start", "body", "middle"])
def test_silence_is_broken_by_comments(slow: dict[str, WireResponse], where: str) -> None:
    assert slow[where].body.count(b": keep-alive\n\n") in (2, 3)
    assert text_of(chunks(slow[where].body)) == "late"


def test_an_error_after_comments_is_an_event(gateway: Gateway, slow: dict[str, WireResponse]) -> None:
    answer = slow["error"]
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    (event,) = events(answer.body)
    assert json.loads(event)["error"]["code"] == "too_fast"
    row = gateway.settlement(answer)
    assert (row["status"], row["code"]) == (429, "too_fast")


def test_comments_are_for_streams_alone(slow: dict[str, WireResponse]) -> None:
    assert slow["plain"].json()["choices"][0]["message"]["content"] == "late"


def test_many_streams_at_once_keep_apart(gateway: Gateway) -> None:
    voices = [f"voice {number};" for number in range(40)]
    answers = gateway.ask_together(
        {
            said: (body("open", said, stream=True), Answer.chat_stream([said] * 20, every=0.01))
            for said in voices
        }
    )
    for said, answer in answers.items():
        assert text_of(chunks(answer.body)) == said * 20
