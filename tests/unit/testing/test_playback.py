"""Scripted answers as steps: what is sent, in which pieces, with which waits, and how it ends."""

from __future__ import annotations

import re

import msgspec
import pytest

from abyssal.testing import Answer, ReceivedRequest, embedding_of, tool_call
from abyssal.testing.playback import End, Step, steps
from abyssal.wire.vectors import packed, shortened

OK = Answer.text("hello")
THREE = Answer.events(["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"])


def request(body: object = None, *, path: str = "/v1/chat/completions", **changes: str) -> ReceivedRequest:
    wire = msgspec.json.encode({"model": "m", "messages": []} if body is None else body)
    return ReceivedRequest(changes.get("method", "POST"), path, changes.get("version", "1.1"), [], wire, 1)


def play(answer: Answer, to: ReceivedRequest | None = None) -> list[Step]:
    return list(steps(answer, to or request()))


def wire(answer: Answer, to: ReceivedRequest | None = None) -> bytes:
    return b"".join(step for step in play(answer, to) if isinstance(step, bytes))


def body(answer: Answer, to: ReceivedRequest | None = None) -> bytes:
    return wire(answer, to).partition(b"\r\n\r\n")[2]


def unchunked(framed: bytes) -> bytes:
    content = b""
    while True:
        size, _, framed = framed.partition(b"\r\n")
        if not int(size, 16):
            assert framed == b"\r\n"
            return content
        content, framed = content + framed[: int(size, 16)], framed[int(size, 16) + 2 :]


def events(answer: Answer, to: ReceivedRequest | None = None) -> list[bytes]:
    return unchunked(body(answer, to)).split(b"\n\n")[:-1]


def chunks(answer: Answer, to: ReceivedRequest | None = None) -> list[dict]:
    lines = events(answer, to)
    assert lines[-1] == b"data: [DONE]"
    return [msgspec.json.decode(line.removeprefix(b"data: ")) for line in lines[:-1]]


# Plain answers


def test_a_plain_answer_is_a_head_a_body_and_the_connection_kept() -> None:
    assert play(OK) == [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\n\r\n",
        b"hello",
        End.KEEP,
    ]


def test_json_status_and_headers() -> None:
    sent = wire(Answer.json({"a": 1}, 429, {"retry-after": "2"}))
    assert sent.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: 2\r\n" in sent
    assert sent.endswith(b'\r\n\r\n{"a":1}')


def test_an_error_has_the_official_shape() -> None:
    answer = Answer.error(503, "busy", type="service_unavailable_error", retry_after=3)
    assert b"\r\nretry-after: 3\r\n" in wire(answer)
    assert msgspec.json.decode(body(answer)) == {
        "error": {"message": "busy", "type": "service_unavailable_error", "param": None, "code": None}
    }


@pytest.mark.parametrize("status", [200, 299, 418, 599, 999])
def test_any_status_code(status: int) -> None:
    assert re.match(rb"HTTP/1.1 %d [A-Z]" % status, wire(OK.with_status(status)))


def test_a_scripted_header_stands_in_place_of_the_automatic_one() -> None:
    sent = wire(OK.with_headers({"Content-Type": "application/octet-stream"}))
    assert sent.lower().count(b"content-type") == 1
    assert b"Content-Type: application/octet-stream\r\n" in sent


def test_headers_may_repeat() -> None:
    assert wire(OK.with_headers([("x-a", "1"), ("x-a", "2")])).count(b"x-a: ") == 2


@pytest.mark.parametrize(("answer", "to"), [(OK, request(method="HEAD")), (OK.with_status(204), request())])
def test_what_has_no_body_sends_none(answer: Answer, to: ReceivedRequest) -> None:
    assert body(answer, to) == b""
    assert play(answer, to)[-1] is End.KEEP


# Completions


def test_a_chat_answer_is_whole_unless_a_stream_was_asked_for() -> None:
    answer = Answer.chat("hello big world", reasoning="hm")
    whole = msgspec.json.decode(body(answer))
    assert (whole["object"], whole["model"]) == ("chat.completion", "m")
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello big world", "reasoning_content": "hm"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    streamed = chunks(answer, request({"model": "m", "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    assert deltas[0] == {"role": "assistant", "content": None, "reasoning_content": ""}
    assert "".join(delta.get("content") or "" for delta in deltas) == "hello big world"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "hm"
    assert [chunk["choices"][0]["finish_reason"] for chunk in streamed] == [None] * 5 + ["stop"]
    assert len({(chunk["id"], chunk["created"]) for chunk in streamed}) == 1


def test_usage_adds_up_and_counts_cache_hits_in_units() -> None:
    to = request({"model": "m", "messages": [{"role": "user", "content": "x" * 600}]})
    usage = msgspec.json.decode(body(Answer.chat("four", reasoning="think"), to))["usage"]
    assert usage == {
        "prompt_tokens": 154,
        "completion_tokens": 3,
        "total_tokens": 157,
        "prompt_tokens_details": {"cached_tokens": 128},
        "prompt_cache_hit_tokens": 128,
        "prompt_cache_miss_tokens": 26,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_usage_can_be_given_or_left_out() -> None:
    assert msgspec.json.decode(body(Answer.chat("a", usage={"total_tokens": 7})))["usage"] == {
        "total_tokens": 7
    }
    assert "usage" not in msgspec.json.decode(body(Answer.chat("a", usage=False)))


ASKED = request({"model": "m", "stream": True, "stream_options": {"include_usage": True}})
UNASKED = request({"model": "m", "stream": True})


@pytest.mark.parametrize(
    ("style", "to", "expected"),
    [
        ("official", UNASKED, ["absent", "absent", "counted"]),
        ("official", ASKED, ["null", "null", "counted"]),
        ("openai", UNASKED, ["absent", "absent", "absent"]),
        ("openai", ASKED, ["null", "null", "null", "counted"]),
        ("none", UNASKED, ["absent", "absent", "absent"]),
        ("none", ASKED, ["absent", "absent", "absent"]),
    ],
)
def test_where_usage_rides(style: str, to: ReceivedRequest, expected: list[str]) -> None:
    streamed = chunks(Answer.chat_stream(["a"], usage_style=style), to)
    kinds = [
        "absent" if "usage" not in chunk else "null" if chunk["usage"] is None else "counted"
        for chunk in streamed
    ]
    assert kinds == expected
    if style == "openai" and to is ASKED:
        assert streamed[-1]["choices"] == []


def test_a_stream_is_sent_even_where_none_was_asked_for() -> None:
    assert len(chunks(Answer.chat_stream(["a", "b"]))) == 4


def test_a_stream_may_lack_its_end() -> None:
    assert b"[DONE]" not in wire(Answer.chat_stream(["a"], done=False))


def test_repeat_multiplies_pieces_and_usage() -> None:
    streamed = chunks(Answer.chat_stream(["abcd", "efgh"], repeat=50))
    assert len(streamed) == 102
    assert streamed[-1]["usage"]["completion_tokens"] == 100


def test_a_very_long_stream_is_never_held_in_memory() -> None:
    endless = steps(Answer.chat_stream(["x"], repeat=10**12), request())
    assert sum(isinstance(next(endless), bytes) for _ in range(100)) == 100


def test_tool_calls_whole_and_streamed() -> None:
    answer = Answer.chat(None, tool_calls=[tool_call("weather", {"city": "Paris"}, id="call_1")])
    choice = msgspec.json.decode(body(answer))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
        }
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(answer, UNASKED)]
    parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert {part["index"] for part in parts} == {0}
    assert (parts[0]["id"], parts[0]["function"]["name"]) == ("call_1", "weather")
    assert "".join(part["function"]["arguments"] for part in parts) == '{"city":"Paris"}'
    assert len(parts) == 3


def test_extra_fields_are_merged_in() -> None:
    answer = Answer.chat("a", extra={"id": "fixed", "system_fingerprint": "fp"})
    assert msgspec.json.decode(body(answer))["id"] == "fixed"
    assert {chunk["id"] for chunk in chunks(answer, UNASKED)} == {"fixed"}


def test_the_completions_route_has_its_own_shape() -> None:
    answer = Answer.chat("one two")
    whole = msgspec.json.decode(
        body(answer, request({"model": "m", "prompt": "p"}, path="/beta/completions"))
    )
    assert (whole["object"], whole["choices"][0]["text"]) == ("text_completion", "one two")
    asked = request({"model": "m", "prompt": "p", "stream": True}, path="/beta/completions")
    streamed = chunks(answer, asked)
    assert "".join(chunk["choices"][0]["text"] for chunk in streamed) == "one two"
    assert streamed[-1]["usage"]["total_tokens"] > 0


# Framing


def test_framings_carry_the_same_events() -> None:
    chunked, close, length = (
        Answer.chat_stream(["a", "é"], framing=framing, extra={"id": "i", "created": 1})
        for framing in ("chunked", "close", "content-length")
    )
    content = unchunked(body(chunked))
    assert body(close) == body(length) == content
    assert b"transfer-encoding: chunked\r\n" in wire(chunked)
    assert b"connection: close\r\n" in wire(close)
    assert b"content-length: %d\r\n" % len(content) in wire(length)
    assert [play(answer)[-1] for answer in (chunked, close, length)] == [End.KEEP, End.CLOSE, End.KEEP]


def test_an_http_1_0_client_gets_no_chunks() -> None:
    to = request(version="1.0")
    assert b"chunked" not in wire(THREE, to)
    assert play(THREE, to)[-1] is End.CLOSE


def test_raw_bytes_are_sent_as_they_are() -> None:
    assert play(Answer.raw(b"\x00any\xff")) == [b"", b"\x00any\xff", End.CLOSE]
    assert play(Answer.raw(b"any", close=False))[-1] is End.KEEP


@pytest.mark.parametrize(
    ("fault", "after", "tail"),
    [
        ("bad-size", 1, rb"xyz\r\n.*"),
        ("huge-size", 0, rb"f{17,}\r\n"),
        ("missing-crlf", 2, rb"5\r\nhello5\r\nworld\r\n"),
        ("too-short", 1, rb"ff\r\n.{2,100}"),
    ],
)
def test_a_bad_chunk_follows_good_ones_and_ends_the_connection(fault: str, after: int, tail: bytes) -> None:
    answer = THREE.with_bad_chunk(fault, after_chunks=after)
    good = b"".join(b"9\r\ndata: %d\n\n\r\n" % number for number in range(1, after + 1))
    assert re.fullmatch(re.escape(good) + tail, body(answer), re.DOTALL)
    assert play(answer)[-1] is End.CLOSE


@pytest.mark.parametrize("length", [4, 6, 2**70])
def test_a_wrong_content_length(length: int) -> None:
    answer = OK.with_content_length(length)
    assert b"content-length: %d\r\n" % length in wire(answer)
    assert body(answer) == b"hello"
    assert play(answer)[-1] is End.CLOSE


# Time


def test_delays_before_and_after_the_head() -> None:
    sent = play(OK.delayed(1.5, body=2.5))
    assert [step for step in sent if isinstance(step, float)] == [1.5, 2.5]
    assert (sent[0], sent[2], sent[3]) == (1.5, 2.5, b"hello")


def test_events_are_spaced_but_the_end_is_not() -> None:
    sent = play(Answer.chat_stream(["a"], every=0.25))[1:]
    assert [step for step in sent if not isinstance(step, bytes)] == [0.25, 0.25, End.KEEP]
    assert b"[DONE]" in sent[-3]


def test_a_drip_cuts_anywhere() -> None:
    sent = play(Answer.text("aé").dripped(2, 0.5))[1:]
    assert sent == [b"a\xc3", 0.5, b"\xa9", 0.5, End.KEEP]


def test_interim_responses_come_first() -> None:
    sent = wire(OK.preceded_by(100, 103))
    assert sent.startswith(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"
    )


# Cuts


@pytest.mark.parametrize(
    ("method", "end"), [("reset", End.RESET), ("closed_early", End.CLOSE), ("stalled", End.SILENCE)]
)
def test_a_cut_can_come_anywhere(method: str, end: End) -> None:
    def cut(**where: object) -> list[Step]:
        return play(getattr(THREE, method)(**where))

    assert cut(before_head=True) == [end]
    assert [type(step) for step in cut()] == [bytes, End]
    assert cut(after_bytes=5)[1:] == [b"9\r\nda", end]
    assert cut(after_bytes=0)[1:] == [end]
    assert cut(after_events=2)[1:] == [b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n", end]
    assert cut(after_events=0)[1:] == [end]


@pytest.mark.parametrize("where", [{"after_events": 99}, {"after_bytes": 10_000}])
def test_a_cut_beyond_the_end_still_cuts(where: dict[str, int]) -> None:
    assert play(THREE.reset(**where))[-1] is End.RESET


def test_a_cut_inside_a_body_of_known_length_does_not_change_the_length() -> None:
    answer = Answer.text("0123456789").closed_early(after_bytes=4)
    assert b"content-length: 10\r\n" in wire(answer)
    assert body(answer) == b"0123"


def test_keep_alives_do_not_count_as_events() -> None:
    sent = body(THREE.with_keep_alives(2, between=True).closed_early(after_events=2))
    assert sent.count(b"data: ") == 2
    assert sent.count(b": keep-alive") == 3


def test_an_answer_is_cut_in_one_place() -> None:
    with pytest.raises(ValueError, match="one place"):
        OK.reset(before_head=True, after_bytes=3)


def test_silence_sends_nothing_at_all() -> None:
    assert play(Answer.silence()) == [End.SILENCE]


# Content that is wrong, or strange


def test_keep_alives_are_comments_in_a_stream_and_blank_lines_before_json() -> None:
    lines = events(THREE.with_keep_alives(2, 0.5))
    assert lines[:3] == [b": keep-alive", b": keep-alive", b"data: 1"]
    assert play(THREE.with_keep_alives(2, 0.5))[1] == 0.5
    plain = Answer.json({}).with_keep_alives(3)
    assert body(plain) == b"\n\n\n{}"
    assert b"content-length: 5\r\n" in wire(plain)


def test_an_error_event_ends_the_stream_or_not() -> None:
    ends = events(THREE.with_error_event({"message": "boom"}, after_events=1))
    assert ends == [b"data: 1", b'data: {"error":{"message":"boom"}}']
    goes_on = events(THREE.with_error_event({"message": "boom"}, after_events=3, goes_on=True))
    assert goes_on[:3] == [b"data: 1", b"data: 2", b"data: 3"]
    assert len(goes_on) == 4


@pytest.mark.parametrize("answer", [OK, THREE, Answer.chat("hello"), Answer.chat_stream(["", "hello"])])
def test_invalid_utf8_is_one_bad_byte(answer: Answer) -> None:
    spoiled = body(answer.with_invalid_utf8())
    assert spoiled.count(b"\xff") == 1
    with pytest.raises(UnicodeDecodeError):
        spoiled.decode()


def test_huge_headers_are_as_large_as_asked() -> None:
    assert 100_000 < len(wire(OK.with_huge_headers(100_000))) < 120_000


def test_faults_do_not_depend_on_their_order() -> None:
    assert OK.delayed(1).reset().with_status(500) == OK.with_status(500).reset().delayed(1)


def test_embeddings_are_made_of_their_inputs_as_the_request_asks() -> None:
    asked = {"model": "m", "input": ["a", "b"], "dimensions": 4, "encoding_format": "base64"}
    said = msgspec.json.decode(body(Answer.embeddings(), request(asked, path="/v1/embeddings")))
    assert [item["embedding"] for item in said["data"]] == [
        packed(embedding_of("a", 4)), packed(embedding_of("b", 4)),
    ]  # fmt: skip
    assert said["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    answer = Answer.embeddings(base64=False, dimensions=False)
    said = msgspec.json.decode(
        body(answer, request({"input": [1, 2], "dimensions": 4}, path="/v1/embeddings"))
    )
    assert [item["embedding"] for item in said["data"]] == [embedding_of([1, 2])]
    assert shortened(embedding_of("a"), 4) == pytest.approx(embedding_of("a", 4))
