"""An upstream that breaks: a typed error before the first byte, an error event after it, one request ever."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest

from abyssal.testing import Answer, WireResponse

from .calls import Gateway, body, events, wait_for

WORDS = ["one", " two", " three"]
CHAT, STREAM = Answer.chat("hello"), Answer.chat_stream(WORDS, every=0.02)
HTML = Answer.text("<html><body>Welcome to the captive portal</body></html>", content_type="text/html")
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
CLOSED, GARBAGE = "upstream_closed", "upstream_garbage"


def raw(head: bytes, content: bytes = b"") -> Answer:
    return Answer.raw(JSON + head + b"\r\n" + content)


def as_json(content: str) -> Answer:
    return Answer.text(content, content_type="application/json")


# Each breaks before the client has got a byte, and is told as this code, with 502.
BEFORE: dict[str, tuple[Answer, str]] = {
    "reset before the head": (CHAT.reset(before_head=True), CLOSED),
    "close before the head": (CHAT.closed_early(before_head=True), CLOSED),
    "reset after the head": (CHAT.reset(), CLOSED),
    "close after the head": (CHAT.closed_early(), CLOSED),
    "reset in the body": (CHAT.reset(after_bytes=40), CLOSED),
    "close in the body": (CHAT.closed_early(after_bytes=40), CLOSED),
    "shorter than promised": (CHAT.with_content_length(100_000), CLOSED),
    "longer than promised": (CHAT.with_content_length(100), GARBAGE),
    "chunk without a size": (CHAT.with_bad_chunk("bad-size", after_chunks=0), GARBAGE),
    "chunk of any size": (CHAT.with_bad_chunk("huge-size", after_chunks=0), GARBAGE),
    "chunk without its end": (CHAT.with_bad_chunk("missing-crlf", after_chunks=0), GARBAGE),
    "chunk cut short": (CHAT.with_bad_chunk("too-short", after_chunks=1), CLOSED),
    "no HTTP at all": (Answer.garbage(), GARBAGE),
    "a page": (HTML, GARBAGE),
    "an empty answer": (as_json(""), GARBAGE),
    "half a JSON object": (as_json('{"id":"x","choices":['), GARBAGE),
    "a JSON array": (as_json("[]"), GARBAGE),
    "huge headers": (CHAT.with_huge_headers(), GARBAGE),
    "two lengths": (raw(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{} "), GARBAGE),
    "length and chunks": (raw(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"{}"), GARBAGE),
    "a folded header": (raw(b"X-A: b\r\n c\r\nContent-Length: 2\r\n", b"{}"), GARBAGE),
    "a header split by CR": (raw(b"X-A: b\rSet-Cookie: c\r\nContent-Length: 2\r\n", b"{}"), GARBAGE),
    "another protocol": (Answer.raw(SWITCHING), GARBAGE),
    "interim answers alone": (CHAT.preceded_by(100, 103).closed_early(before_head=True), CLOSED),
}
# Those that no stream comes of, even if one was asked for.
NO_STREAM = [
    "reset before the head", "close before the head", "no HTTP at all", "a page", "an empty answer",
    "half a JSON object", "a JSON array", "huge headers", "two lengths", "another protocol",
]  # fmt: skip

# Each breaks when the client has got some of the stream.
AFTER: dict[str, tuple[Answer, str]] = {
    "reset": (STREAM.reset(after_events=2), CLOSED),
    "close": (STREAM.closed_early(after_events=2), CLOSED),
    "end without finish": (Answer.events([EVENT]), "upstream_ended_early"),
    "close in an event": (Answer.raw(SSE + EVENT + b'data: {"cho'), "upstream_ended_early"),
    "bad chunk": (STREAM.with_bad_chunk("bad-size", after_chunks=2), GARBAGE),
    "chunk cut short": (STREAM.with_bad_chunk("too-short", after_chunks=2), CLOSED),
}


def fault_place(fault: Answer) -> str:
    return fault.cut.place if fault.cut else ""


def error_of(answer: WireResponse) -> dict[str, object]:
    assert answer.header("content-type") == "application/json"
    error = answer.json()["error"]
    assert error["type"] in ("upstream_error", "service_unavailable_error")
    assert len(error["message"]) > 20
    return error


@pytest.mark.parametrize(("fault", "code"), BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("kept", [False, True], ids=["new-connection", "kept-connection"])
def test_before_the_first_byte_it_is_a_typed_error(
    gateway: Gateway, fault: Answer, code: str, kept: bool
) -> None:
    if kept and "before" in fault_place(fault) and sys.platform != "linux":
        pytest.skip("only Linux tells what of a request was taken by an upstream that closed")
    gateway.upstream.disconnect()
    if kept:
        assert gateway.ask(body("open")).status == 200
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(fault)
    began = time.monotonic()
    answer = gateway.ask(body("open"))
    assert (answer.status, error_of(answer)["code"]) == (502, code)
    assert time.monotonic() - began < 1.0
    row = gateway.settlement(answer)
    assert (row["status"], row["code"], row["completion_tokens"]) == (502, code, 0)
    assert len(gateway.upstream.requests) == before + 1
    assert gateway.ask(body("open")).status == 200


@pytest.mark.parametrize("case", NO_STREAM)
def test_a_stream_that_never_began_is_a_typed_error(gateway: Gateway, case: str) -> None:
    gateway.upstream.disconnect()
    fault, code = BEFORE[case]
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(fault)
    answer = gateway.ask(body("open", stream=True))
    assert (answer.status, error_of(answer)["code"]) == (502, code)
    assert gateway.settlement(answer)["code"] == code
    assert len(gateway.upstream.requests) == before + 1


@pytest.mark.parametrize(
    "fault", [STREAM.reset(), STREAM.closed_early(), STREAM.with_bad_chunk(after_chunks=0)]
)
def test_a_stream_that_broke_before_its_first_event_is_an_error_either_way(
    gateway: Gateway, fault: Answer
) -> None:
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(fault)
    answer = gateway.ask(body("open", stream=True))
    if answer.status == 200:
        (event,) = events(answer.body)
        assert json.loads(event)["error"]["type"] == "upstream_error"
    else:
        assert answer.status == 502
        error_of(answer)
    assert gateway.settlement(answer)["status"] == 502
    assert len(gateway.upstream.requests) == before + 1


@pytest.mark.parametrize(("fault", "code"), AFTER.values(), ids=AFTER)
@pytest.mark.parametrize("model", ["open", "official"])
@pytest.mark.parametrize("kept", [False, True], ids=["new-connection", "kept-connection"])
def test_after_the_first_byte_it_is_an_error_event_and_the_end(
    gateway: Gateway, fault: Answer, code: str, model: str, kept: bool
) -> None:
    gateway.upstream.disconnect()
    if kept:
        assert gateway.ask(body(model)).status == 200
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(fault)
    with gateway.connect() as connection:
        connection.send(gateway.request(body(model, stream=True)))
        answer = connection.read_response()  # a clean end of the chunked body, or a ProtocolError
        *good, last = events(answer.body)
        assert answer.status == 200
        assert good
        assert "choices" in json.loads(good[-1])
        error = json.loads(last)["error"]
        assert (error["code"], error["type"]) == (code, "upstream_error")
        connection.send(gateway.request(body(model)))
        assert connection.read_response().status == 200
    row = gateway.settlement(answer)
    assert (row["status"], row["code"], row["estimated"]) == (502, code, 1)
    assert row["completion_tokens"] > 0
    assert len(gateway.upstream.requests) == before + 2


@pytest.mark.parametrize("model", ["open", "official"])
def test_an_error_event_of_the_upstream_is_the_last_word(gateway: Gateway, model: str) -> None:
    gateway.upstream.enqueue(
        STREAM.with_error_event({"message": "no more", "type": "server_error", "code": "x"})
    )
    answer = gateway.ask(body(model, stream=True))
    found = events(answer.body)
    assert json.loads(found[-1])["error"]["message"] == "no more"
    assert sum(b'"error"' in event for event in found) == 1
    assert gateway.settlement(answer)["status"] == 502


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstream_that_is_not_there_is_unavailable(gateway: Gateway, stream: bool) -> None:
    answer = gateway.ask(body("closed", stream=stream))
    assert (answer.status, error_of(answer)["code"]) == (503, "upstream_unreachable")
    assert int(answer.header("retry-after") or "") >= 1
    row = gateway.settlement(answer)
    assert (row["status"], row["code"]) == (503, "upstream_unreachable")


@pytest.fixture(scope="module")
def stalls(shared_gateway: Gateway) -> dict[str, WireResponse]:
    """What comes of silence in several places, all at once: `hasty` waits 0.3 s, `silent` 2 s."""
    plain, stream = Answer.chat("hello"), Answer.chat_stream(WORDS)
    return shared_gateway.ask_together(
        {
            "plain, no answer": (body("hasty", "plain, no answer"), Answer.silence()),
            "plain, no body": (body("hasty", "plain, no body"), plain.stalled()),
            "plain, half a body": (body("hasty", "plain, half a body"), plain.stalled(after_bytes=30)),
            "stream, no answer": (body("hasty", "stream, no answer", stream=True), Answer.silence()),
            "stream, no event": (body("hasty", "stream, no event", stream=True), stream.stalled()),
            "stream, two events": (
                body("hasty", "stream, two events", stream=True),
                stream.stalled(after_events=2),
            ),
            "stream, comments, no answer": (
                body("silent", "stream, comments, no answer", stream=True),
                Answer.silence(),
            ),
        }
    )


@pytest.mark.parametrize(
    "case", ["plain, no answer", "plain, no body", "plain, half a body", "stream, no answer"]
)
def test_silence_before_the_first_byte_is_a_timeout(
    gateway: Gateway, stalls: dict[str, WireResponse], case: str
) -> None:
    answer = stalls[case]
    assert (answer.status, error_of(answer)["code"]) == (504, "upstream_timeout")
    assert gateway.settlement(answer)["status"] == 504


@pytest.mark.parametrize("case", ["stream, no event", "stream, two events", "stream, comments, no answer"])
def test_silence_in_a_stream_is_an_error_event(
    gateway: Gateway, stalls: dict[str, WireResponse], case: str
) -> None:
    answer = stalls[case]
    assert answer.status == 200
    *good, last = events(answer.body)
    assert len(good) == (2 if "two" in case else 0)
    assert json.loads(last)["error"]["code"] == "upstream_timeout"
    assert gateway.settlement(answer)["status"] == 504


def test_a_large_answer_that_breaks_is_cut_and_never_completed(gateway: Gateway) -> None:
    large = Answer.json({"pad": "x" * 3_000_000, "choices": []})
    gateway.upstream.enqueue(large.reset(after_bytes=2_000_000))
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open")))
        head = connection.read_until(b"\r\n\r\n")
        got = connection.read_all()
    assert head.startswith(b"HTTP/1.1 200")
    assert len(got) < 3_000_000
    call_id = head.lower().partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
    row = gateway.settled(call_id)
    assert (row["status"], row["code"]) == (502, "upstream_closed")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_follows_an_answer_spoils_the_connection_and_not_the_next_call(
    gateway: Gateway, stream: bool
) -> None:
    content = b'{"id":"x","choices":[]}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(content),
        content,
    )
    gateway.upstream.enqueue(Answer.raw(whole + whole, close=False))
    answer = gateway.ask(body("open", stream=stream))
    assert answer.body == content
    following = gateway.ask(body("open", "after"))
    assert following.json()["choices"][0]["message"]["content"] == "after"


def test_an_answer_before_the_request_was_read_is_the_last_of_its_connection(gateway: Gateway) -> None:
    """What of a large request the upstream did not want to read must not stand before the next one."""
    refusal, fine = b'{"error":{"message":"too large","code":"big"}}', b'{"id":"x","choices":[]}'
    answer = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    with gateway.connect() as client:
        client.send(gateway.request(body("played", padding="x" * 20_000_000)))
        with gateway.accept() as first:
            first.recv(65536)
            first.sendall(answer % (b"413 Content Too Large", len(refusal), refusal))
            assert client.read_response().status == 413
            client.send(gateway.request(body("played")))
            with gateway.accept() as second:
                second.recv(65536)
                second.sendall(answer % (b"200 OK", len(fine), fine))
                assert client.read_response().body == fine


def test_an_upstream_that_speaks_unasked_is_not_listened_to(gateway: Gateway) -> None:
    gateway.upstream.disconnect()
    content = b'{"id":"x","choices":[]}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(content),
        content,
    )
    gateway.upstream.enqueue(
        Answer.raw(whole + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", close=False).dripped(
            len(whole), 0.1
        )
    )
    assert gateway.ask(body("open")).status == 200
    gateway.upstream.requests[-1].wait_closed()
    answer = gateway.ask(body("open", "after"))
    assert answer.json()["choices"][0]["message"]["content"] == "after"


def test_an_upstream_that_closed_meanwhile_costs_nothing(gateway: Gateway) -> None:
    """Kept connections that the upstream closed are no reason for an error, however the news arrive."""
    for _ in range(20):
        assert gateway.ask(body("open")).status == 200
        gateway.upstream.disconnect()
    before = len(gateway.upstream.requests)
    (worker,) = gateway.worker_pids()
    for close_first in (True, False) * 3:
        assert gateway.ask(body("open")).status == 200
        with gateway.connect() as connection:
            wait_for(lambda: gateway.upstream.statistics().open_connections, "a kept connection")
            os.kill(worker, signal.SIGSTOP)
            try:
                if close_first:
                    gateway.upstream.disconnect()
                connection.send(gateway.request(body("open")))
                if not close_first:
                    gateway.upstream.disconnect()
            finally:
                os.kill(worker, signal.SIGCONT)
            assert connection.read_response().status == 200
    assert len(gateway.upstream.requests) == before + 12


def test_an_upstream_comes_back_after_a_restart(gateway: Gateway) -> None:
    gateway.upstream.stop_listening()
    gateway.upstream.disconnect()
    assert gateway.ask(body("open")).status == 503
    gateway.upstream.listen_again()
    assert gateway.ask(body("open")).status == 200


def test_faults_leave_no_connection_behind(gateway: Gateway) -> None:
    for fault, _ in BEFORE.values():
        gateway.upstream.enqueue(fault)
        gateway.ask(body("open"))
    gateway.upstream.wait_until_idle(connections=1)
    wait_for(lambda: gateway.metric("abyssal_calls_in_flight") == 0, "end of all calls")
