"""Requests behind each other on one connection are answered in their order, one at a time."""

from __future__ import annotations

import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, chunk, completion, get
from tests.unit.gateway.stage import Stage

from abyssal.gateway.front.connection import READ_AHEAD


def contents(answers: list[object]) -> list[str]:
    return [answer.json()["choices"][0]["message"]["content"] for answer in answers]  # type: ignore[attr-defined]


def test_pipelined_calls_are_answered_in_order_one_at_a_time(stage: Stage) -> None:
    client = stage.client().send(b"".join(chat(user=str(number)) for number in range(4)))
    for number in range(4):
        assert len(stage.server.requests) == number + 1
        assert stage.gateway.caps.in_flight == 1
        stage.server.last.answer(completion(str(number)))
    assert contents(client.answers()) == ["0", "1", "2", "3"]


def test_a_quick_answer_waits_behind_a_slow_one(stage: Stage) -> None:
    client = stage.client().send(chat() + get("/healthz") + chat(b"no JSON") + get("/readyz"))
    assert client.bytes == b""
    stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200, 400, 200]


def test_a_call_behind_a_stream_waits_for_its_end(stage: Stage) -> None:
    client = stage.client().send(chat(stream=True) + get("/healthz"))
    server = stage.server.last.begin_stream().stream(chunk(), LAST, DONE)
    assert len(client.answers()) == 1
    server.end_stream()
    assert len(client.answers()) == 2


@pytest.mark.parametrize("count", [200, 2000])
def test_very_many_requests_behind_a_call(stage: Stage, count: int) -> None:
    small = get("/healthz")
    client = stage.client().send(chat() + small * count)
    stage.server.last.answer()
    assert len(client.answers()) == count + 1
    assert {answer.status for answer in client.answers()} == {200}


def test_very_many_requests_in_one_read(stage: Stage) -> None:
    client = stage.client().send(get("/healthz") * 3000)
    assert len(client.answers()) == 3000


def test_reading_stops_when_enough_waits_and_goes_on_with_the_answer(stage: Stage) -> None:
    client = stage.client().ask()
    sent = 0
    while client.transport.reading:
        client.send(chat(user="x" * 500))
        sent += 1
        assert sent * 500 < READ_AHEAD * 2, "it reads for ever"
    while len(stage.server.requests) <= sent:
        stage.server.last.answer()
    stage.server.last.answer()
    assert len(client.answers()) == sent + 1
    assert client.transport.reading


def test_bytes_without_a_request_behind_a_call_do_not_pile_up(stage: Stage) -> None:
    client = stage.client().ask()
    for _ in range(200):
        if client.transport.reading and not client.gone:
            client.send(b"\x00" * 10_000)
    assert len(client.connection._queue) <= 1  # type: ignore[attr-defined]
    if not client.gone:
        stage.server.last.answer()
        assert [answer.status for answer in client.answers()] == [200, 400]


def test_a_bad_request_is_refused_in_its_turn_and_nothing_behind_it_is_read(stage: Stage) -> None:
    bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    client = stage.client().send(chat() + get("/v1/models") + bad + get("/healthz"))
    assert client.bytes == b""
    stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200, 400]
    assert client.answers()[2].header("connection") == "close"
    assert client.transport.ended


def test_after_connection_close_nothing_more_is_answered(stage: Stage) -> None:
    client = stage.client().send(chat(headers=b"Connection: close\r\n") + get("/healthz"))
    stage.server.last.answer()
    assert client.answer().header("connection") == "close"
    assert client.transport.ended
    stage.pass_time(3.0)
    assert client.gone


def test_a_client_that_leaves_takes_what_waits_along(stage: Stage) -> None:
    client = stage.client().send(chat() * 5)
    client.leave()
    assert len(stage.server.requests) == 1
    assert stage.server.last.closed
    assert [record.status for record in stage.settled] == [499]


# Forms of requests and answers


def test_head_has_the_head_of_get_and_no_body(stage: Stage) -> None:
    for path in ("/healthz", "/readyz", "/v1/models"):
        client = stage.client().send(get(path)).send(get(path, method="HEAD")).send(get("/healthz"))
        first, second, third = client.answers("GET", "HEAD", "GET")
        assert first.header("content-length") == second.header("content-length")
        assert (second.status, second.body, third.status) == (first.status, b"", 200)


@pytest.mark.parametrize(
    ("request_", "stays"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", False),
        (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", False),
    ],
)
def test_whether_a_connection_is_kept(stage: Stage, request_: bytes, stays: bool) -> None:
    client = stage.client().send(request_)
    answer = client.answer()
    assert answer.status == 200
    assert client.transport.ended is not stays
    if not stays:
        assert answer.header("connection") == "close"
    elif b"1.0" in request_:
        assert answer.header("connection") == "keep-alive"


def test_a_stream_for_an_http_1_0_client_ends_with_its_connection(stage: Stage) -> None:
    request = (
        chat(stream=True)
        .replace(b"HTTP/1.1", b"HTTP/1.0")
        .replace(b"Host: ", b"Connection: keep-alive\r\nHost: ")
    )
    client = stage.client().send(request)
    stage.server.last.begin_stream().stream(chunk(), LAST, DONE).end_stream()
    answer = client.answer()
    assert answer.header("transfer-encoding") is None
    assert answer.header("content-length") is None
    assert answer.header("connection") == "close"
    assert answer.events[-1] == "[DONE]"
    assert client.transport.ended


def test_a_plain_call_of_an_http_1_0_client(stage: Stage) -> None:
    client = stage.client().send(chat().replace(b"HTTP/1.1", b"HTTP/1.0"))
    stage.server.last.answer()
    assert client.answer().body == completion()
    assert client.transport.ended


def test_leave_to_send_the_body_is_given_once(stage: Stage) -> None:
    whole = chat(headers=b"Expect: 100-continue\r\n")
    head, _, body = whole.partition(b"\r\n\r\n")
    client = stage.client().send(head + b"\r\n\r\n")
    assert client.bytes == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(body)
    stage.server.last.answer()
    assert client.answer().status == 200
    assert client.bytes.count(b"100 Continue") == 1
    assert stage.server.last.request.header("expect") is None


def test_a_body_over_the_limit_is_refused_before_it_is_sent(stage: Stage) -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    )
    client = stage.client().send(head % (48 * 1024 * 1024 + 1))
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert b"100 Continue" not in client.bytes


def test_every_answer_has_an_id_a_date_and_the_api_s_version(stage: Stage) -> None:
    client = stage.client().send(get("/healthz") + get("/nothing", method="DELETE")[:-2] + b"X: \x01\r\n\r\n")
    for answer in client.answers():
        assert answer.header("x-request-id")
        assert answer.header("date")
        assert answer.header("x-api-version") == "v1"


def test_draining_ends_idle_connections_at_once_and_busy_ones_with_their_answer(stage: Stage) -> None:
    idle = stage.client().send(get("/healthz"))
    busy = stage.client().ask()
    stage.gateway.draining = stage.gateway.front.draining = True
    stage.gateway.front.drain()
    stage.turn()
    assert idle.gone
    assert not busy.gone
    stage.server.last.answer()
    assert busy.answer().header("connection") == "close"
    assert busy.transport.ended


def test_while_draining_calls_are_refused_and_readiness_says_so(stage: Stage) -> None:
    waiting = stage.client().send(get("/healthz"))
    stage.gateway.draining = True
    waiting.ask()
    assert waiting.answers()[1].status == 503
    assert waiting.answers()[1].error["code"] == "shutting_down"
    assert stage.client().send(get("/readyz")).answer().status == 503
    assert stage.client().send(get("/healthz")).answer().status == 200


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    ],
)
@pytest.mark.parametrize("size", [0, 1, 50])
def test_a_call_that_offers_an_upgrade_is_answered_as_http(stage: Stage, upgrade: bytes, size: int) -> None:
    client = stage.client().send(chat(headers=upgrade), size=size)
    request = stage.server.last.request
    assert request.json()["messages"][0]["content"] == "hello there"
    assert request.header("upgrade") is None
    assert request.header("http2-settings") is None
    stage.server.last.answer()
    assert client.answer().status == 200
    assert client.answer().header("connection") == "close"


@pytest.mark.parametrize(
    "line",
    [b"CONNECT api.deepseek.com:443 HTTP/1.1", b"GET api.deepseek.com HTTP/1.1", b"GET ftp://a/ HTTP/1.1"],
)
def test_this_is_no_forward_proxy(stage: Stage, line: bytes) -> None:
    answer = stage.client().send(line + b"\r\nHost: a\r\n\r\n").answer()
    assert answer.status == 400
    assert answer.error["code"] in ("bad_target", "malformed_http")
    assert stage.server.connections == []


def test_a_target_may_be_a_whole_address(stage: Stage) -> None:
    client = stage.client().send(chat(line=b"POST http://other.test/v1/chat/completions?x HTTP/1.1\r\n"))
    stage.server.last.answer()
    assert client.answer().status == 200
