"""Whatever an upstream does: a typed error before the first byte, an error event after it, never silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk, completion
from tests.unit.gateway.stage import Client, ServerConnection, Stage

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
RESET = ConnectionResetError(104, "reset")


class Fault(NamedTuple):
    """What the upstream does, and what the client is told of it before and instead of an answer."""

    does: Callable[[Stage, ServerConnection], object]
    status: int
    code: str


def timeout(seconds: float) -> Callable[[Stage, ServerConnection], None]:
    return lambda stage, server: stage.pass_time(seconds)


BEFORE: dict[str, Fault] = {
    "closes without a word": Fault(lambda _, server: server.close(), 502, "upstream_closed"),
    "resets": Fault(lambda _, server: server.close(RESET), 502, "upstream_closed"),
    "stalls": Fault(timeout(601), 504, "upstream_timeout"),
    "not HTTP": Fault(lambda _, server: server.say(b"SSH-2.0-OpenSSH_9.2\r\n"), 502, "upstream_garbage"),
    "half a head": Fault(lambda _, server: server.say(OK).close(), 502, "upstream_closed"),
    "half a head, then silence": Fault(
        lambda stage, server: (server.say(OK), stage.pass_time(601)), 504, "upstream_timeout"
    ),
    "head without an end": Fault(
        lambda _, server: server.say(OK + b"x: " + b"y" * 200_000), 502, "upstream_garbage"
    ),
    "300 fields": Fault(lambda _, server: server.say(OK + b"x: y\r\n" * 300), 502, "upstream_garbage"),
    "bad length": Fault(
        lambda _, server: server.say(OK + b"content-length: ten\r\n\r\n"), 502, "upstream_garbage"
    ),
    "two lengths": Fault(
        lambda _, server: server.say(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x"),
        502,
        "upstream_garbage",
    ),
    "length and chunks": Fault(
        lambda _, server: server.say(OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"),
        502,
        "upstream_garbage",
    ),
    "half a body": Fault(
        lambda _, server: server.say(OK + b"content-length: 99\r\n\r\n{").close(), 502, "upstream_closed"
    ),
    "half a body, reset": Fault(
        lambda _, server: server.say(OK + b"content-length: 99\r\n\r\n{").close(RESET), 502, "upstream_closed"
    ),
    "half a body, silence": Fault(
        lambda stage, server: (server.say(OK + b"content-length: 99\r\n\r\n{"), stage.pass_time(121)),
        504,
        "upstream_timeout",
    ),
    "half a chunk": Fault(
        lambda _, server: server.say(OK + b"transfer-encoding: chunked\r\n\r\n9\r\n{").close(),
        502,
        "upstream_closed",
    ),
    "bad chunk": Fault(
        lambda _, server: server.say(OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n{"),
        502,
        "upstream_garbage",
    ),
    "not JSON": Fault(lambda _, server: server.answer(b"<html>hello</html>"), 502, "upstream_garbage"),
    "not an object": Fault(lambda _, server: server.answer(b"[]"), 502, "upstream_garbage"),
    "nothing": Fault(lambda _, server: server.answer(b""), 502, "upstream_garbage"),
    "switches protocols": Fault(
        lambda _, server: server.say(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        502,
        "upstream_garbage",
    ),
    "no content": Fault(
        lambda _, server: server.say(b"HTTP/1.1 204 No Content\r\n\r\n"), 502, "upstream_misconfigured"
    ),
    "reset content": Fault(
        lambda _, server: server.say(b"HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n"),
        502,
        "upstream_misconfigured",
    ),
    "a redirect": Fault(
        lambda _, server: server.answer(b"", 307, b"location: http://evil.test/\r\n"),
        502,
        "upstream_misconfigured",
    ),
    "not modified": Fault(
        lambda _, server: server.say(b"HTTP/1.1 304 No\r\n\r\n"), 502, "upstream_misconfigured"
    ),
    "status 999": Fault(lambda _, server: server.answer(b"{}", 999), 502, "upstream_misconfigured"),
}


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("streamed", [False, True])
def test_before_the_first_byte_a_fault_is_an_error_answer(stage: Stage, name: str, streamed: bool) -> None:
    fault = BEFORE[name]
    client = stage.client().ask(stream=streamed)
    fault.does(stage, stage.server.last)
    error = check_told(
        client, fault, after_comment=streamed and fault.code == "upstream_timeout" and "body" not in name
    )
    assert len(error["message"]) > 20
    assert len(stage.server.connections) == 1, "asked a second time"
    check_settled_once(stage, fault)


@pytest.mark.parametrize("name", BEFORE)
def test_after_a_comment_the_same_fault_is_an_error_event(stage: Stage, name: str) -> None:
    fault = BEFORE[name]
    client = stage.client().ask(stream=True)
    stage.pass_time(16)
    fault.does(stage, stage.server.last)
    check_told(client, fault, after_comment=True)
    check_settled_once(stage, fault)


def check_told(client: Client, fault: Fault, *, after_comment: bool) -> dict[str, object]:
    answer = client.answer()
    if after_comment:
        assert answer.events[0] == ": keep-alive"
        error: dict[str, object] = json.loads(answer.events[-1])["error"]
        assert sum("error" in event for event in answer.events) == 1
    else:
        assert answer.status == fault.status
        assert answer.header("content-type") == "application/json"
        error = answer.error
    assert error["code"] == fault.code
    return error


def check_settled_once(stage: Stage, fault: Fault) -> None:
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (fault.status, fault.code)
    assert settled.completion_tokens == 0
    assert stage.gateway.caps.in_flight == stage.upstream.in_flight == 0


@pytest.mark.parametrize(
    ("refuses", "status", "code"),
    [
        (ConnectionRefusedError(111, "Connection refused"), 503, "upstream_unreachable"),
        (OSError(113, "No route to host"), 503, "upstream_unreachable"),
        (OSError("Multiple exceptions"), 503, "upstream_unreachable"),
        (UnicodeError("label empty or too long"), 503, "upstream_unreachable"),
    ],
)
def test_an_upstream_that_cannot_be_reached(stage: Stage, refuses: Exception, status: int, code: str) -> None:
    stage.server.refuses = refuses
    client = stage.client().ask()
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.header("retry-after") == "1"
    assert (stage.settled[0].status, stage.settled[0].code) == (status, code)


def test_an_upstream_that_does_not_accept_in_time(stage: Stage) -> None:
    stage.server.hangs = True
    client = stage.client().ask()
    stage.pass_time(4.5)
    assert client.bytes == b""
    stage.pass_time(1.5)
    assert (client.answer().status, client.answer().error["code"]) == (504, "upstream_timeout")


# After the first event

AFTER: dict[str, Fault] = {
    "closes": Fault(lambda _, server: server.close(), 502, "upstream_closed"),
    "resets": Fault(lambda _, server: server.close(RESET), 502, "upstream_closed"),
    "stalls": Fault(timeout(121), 504, "upstream_timeout"),
    "ends early": Fault(lambda _, server: server.end_stream(), 502, "upstream_ended_early"),
    "half an event, then the end": Fault(
        lambda _, server: server.say(b"8\r\ndata: {}\r\n").end_stream(), 502, "upstream_ended_early"
    ),
    "bad chunk": Fault(lambda _, server: server.say(b"zz\r\n"), 502, "upstream_garbage"),
    "an event and a bad chunk at once": Fault(
        lambda _, server: server.say(b"%x\r\n%b\n\n\r\nzz\r\n" % (len(chunk("b")) + 2, chunk("b"))),
        502,
        "upstream_garbage",
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_after_the_first_event_a_fault_is_an_error_event_and_the_end(stage: Stage, name: str) -> None:
    fault = AFTER[name]
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream().stream(chunk("a"))
    fault.does(stage, server)
    events = [event for event in client.answer().events if event != ": keep-alive"]
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == "a"
    assert json.loads(events[-1])["error"]["code"] == fault.code
    assert [json.loads(event)["choices"][0]["delta"]["content"] for event in events[1:-1]] == (
        ["b"] if "an event and" in name else []
    )
    assert "[DONE]" not in events
    (settled,) = stage.settled
    assert (settled.status, settled.code, settled.estimated) == (fault.status, fault.code, True)
    assert settled.completion_tokens == len(events) - 1
    assert not client.gone
    assert len(stage.server.connections) == 1


@pytest.mark.parametrize("name", [name for name in AFTER if name != "ends early"])
def test_after_done_a_fault_changes_nothing(stage: Stage, name: str) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream().stream(chunk("a"), LAST, DONE)
    AFTER[name].does(stage, server)
    events = client.answer().events
    assert [event for event in events if "error" in event] == []
    assert "[DONE]" in events
    (settled,) = stage.settled
    assert (settled.status, settled.code, settled.estimated) == (200, "", False)


def test_the_end_and_a_bad_chunk_in_one_read(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    last = chunk("a") + b"\n\n" + LAST + b"\n\n" + DONE + b"\n\n"
    stage.server.last.begin_stream().say(b"%x\r\n%b\r\nzz\r\n" % (len(last), last))
    assert client.answer().events[-1] == "[DONE]"
    assert len(client.answer().events) == 3
    assert (stage.settled[0].status, stage.settled[0].completion_tokens) == (200, 5)


@pytest.mark.parametrize("name", ["closes", "resets", "stalls", "bad chunk"])
def test_a_finishing_chunk_that_waits_for_its_usage_is_not_lost_with_it(stage: Stage, name: str) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream().stream(chunk("a"), chunk("", "stop"))
    assert len(client.answers()[0].events) == 1
    AFTER[name].does(stage, server)
    events = [event for event in client.answer().events if event != ": keep-alive"]
    assert json.loads(events[1])["choices"][0]["finish_reason"] == "stop"
    assert json.loads(events[2])["error"]["code"] == AFTER[name].code
    assert "[DONE]" not in events


@pytest.mark.parametrize("fault", ["closes", "resets", "stalls"])
def test_a_body_that_was_promised_and_breaks_cuts_the_connection(stage: Stage, fault: str) -> None:
    client = stage.client().ask()
    body = completion("x" * 2_000_000)
    server = stage.server.last.say(OK + b"content-length: %d\r\n\r\n" % len(body) + body[:1_500_000])
    assert len(client.bytes) > 1_000_000
    AFTER[fault].does(stage, server)
    assert client.transport.aborted
    (settled,) = stage.settled
    assert settled.status in (502, 504)
    assert settled.code


@pytest.mark.parametrize("status", [401, 400, 500])
def test_an_error_of_any_size_is_an_error_answer(stage: Stage, status: int) -> None:
    client = stage.client().ask()
    stage.server.last.answer(b'{"error":{"message":"' + b"sk-secret " * 100_000 + b'"}}', status, size=65536)
    answer = client.answer()
    assert answer.status == (502 if status == 401 else status)
    assert len(answer.body) < 2000
    assert len(answer.error["message"]) < 1000
    assert stage.settled[0].status == answer.status


def test_a_streaming_call_whose_plain_answer_is_too_large_after_a_comment(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.pass_time(16)
    body = completion("x" * 2_000_000)
    stage.server.last.say(OK + b"content-length: %d\r\n\r\n" % len(body) + body[:1_000_000])
    assert json.loads(client.answer().events[-1])["error"]["code"] == "upstream_garbage"
    assert stage.server.last.closed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"message": "No."},
            {"message": "No.", "type": "invalid_request_error", "param": None, "code": None},
        ),
        (
            {"message": "No.", "type": "t", "code": 7, "more": [1]},
            {"message": "No.", "type": "t", "code": 7, "more": [1], "param": None},
        ),
    ],
)
def test_an_error_object_has_all_its_keys(stage: Stage, said: object, told: object) -> None:
    client = stage.client().ask()
    stage.server.last.answer(json.dumps({"error": said, "object": "error"}).encode(), 400)
    assert json.loads(client.answer().body) == {"error": told, "object": "error"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"message":"slow down","code":429}}', 429),
        (b'{"error":{"message":"no","code":"x"}}', 502),
        (b'{"error":{"message":"no"}}', 502),
        (b'{"error":{"message":"no","code":200}}', 502),
    ],
)
def test_an_error_that_calls_itself_an_answer_is_an_error(stage: Stage, body: bytes, status: int) -> None:
    client = stage.client().ask()
    stage.server.last.answer(body, 200)
    answer = client.answer()
    assert (answer.status, answer.error["message"]) == (status, json.loads(body)["error"]["message"])
    assert stage.settled[0].status == status


def test_an_answer_that_says_that_there_was_no_error_is_one(stage: Stage) -> None:
    client = stage.client().ask()
    body = b'{"error":null,' + completion()[1:]
    stage.server.last.answer(body, 200)
    assert (client.answer().status, client.answer().body) == (200, body)
