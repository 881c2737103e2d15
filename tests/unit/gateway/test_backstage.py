"""What may be slow is passed to the control process and its answer back, framing and nothing else changed."""

from __future__ import annotations

import pytest

from .messages import KEY, Answer, get
from .stage import Client, ServerConnection, Stage

PAGE = b"<!doctype html>hello"


def asked(
    stage: Stage, path: str = "/", method: str = "GET", headers: bytes = b""
) -> tuple[Client, ServerConnection]:
    client = stage.client().send(get(path, headers, method))
    assert stage.server.last.address == "/control.sock"
    return client, stage.server.last


def page(server: ServerConnection, body: bytes = PAGE) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nServer: uvicorn\r\nContent-Length: %d\r\n\r\n"
    server.say(head % len(body) + body)


@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing/here?a=b&c=%20", "/v1/images"])
def test_what_is_not_ours_is_passed_on(stage: Stage, path: str) -> None:
    client, server = asked(stage, path)
    assert (server.request.method, server.request.target) == ("GET", path)
    page(server)
    answer = client.answer()
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.header("content-type") == "text/html"
    assert answer.header("server") is None
    assert server.request.header("x-request-id") == answer.header("x-request-id")


def test_credentials_stay_here(stage: Stage) -> None:
    _, server = asked(stage, headers=b"Cookie: a=b\r\n")
    assert KEY.encode() not in bytes(server.transport.taken)
    assert server.request.header("cookie") is None


def test_a_body_is_passed_on(stage: Stage) -> None:
    stage.client().send(
        b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    )
    request = stage.server.last.request
    assert (request.method, request.body, request.header("content-type")) == ("PUT", b"hello", "text/plain")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_never_has_a_body_ends_with_its_head(stage: Stage, status: bytes, method: str) -> None:
    client, server = asked(stage, method=method)
    server.say(b'HTTP/1.1 %b\r\nETag: "a"\r\n\r\n' % status)
    client.send(get("/healthz"))
    head, rest = client.bytes.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"transfer-encoding" not in head
    assert b"content-length" not in head
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_gets_no_body(stage: Stage) -> None:
    client, server = asked(stage, method="HEAD")
    page(server)
    client.send(get("/healthz"))
    first, second = client.answers("HEAD", "GET")
    assert (first.status, first.header("content-length")) == (200, str(len(PAGE)))
    assert second.json() == {"status": "ok"}


def test_an_answer_in_chunks_may_be_long(stage: Stage) -> None:
    client, server = asked(stage)
    server.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        server.say(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    server.say(b"0\r\n\r\n")
    assert client.answer().body == b"x" * 0x4000 * 50


def test_the_connection_is_kept_and_a_stale_one_replaced(stage: Stage) -> None:
    client, server = asked(stage)
    page(server)
    client.send(get("/metrics"))
    assert len(stage.server.connections) == 1
    server.close()
    assert len(stage.server.connections) == 2
    page(stage.server.last, b"again")
    assert client.answers()[1].body == b"again"


def test_nothing_but_reading_is_asked_twice(stage: Stage) -> None:
    client, server = asked(stage)
    page(server)
    client.send(b"DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n")
    server.close()
    assert len(stage.server.connections) == 1
    assert client.answers()[1].status == 503


def fault(answer: Answer) -> None:
    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert answer.header("retry-after") == "1"


def test_the_control_process_is_away(stage: Stage) -> None:
    stage.server.refuses = FileNotFoundError(2, "No such file")
    fault(stage.client().send(get("/")).answer())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"garbage\r\n\r\n"])
def test_it_breaks_before_its_answer(stage: Stage, said: bytes) -> None:
    client, server = asked(stage)
    server.say(said).close()
    fault(client.answer())


def test_it_breaks_in_its_answer(stage: Stage) -> None:
    client, server = asked(stage)
    server.say(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf").close()
    assert client.transport.aborted


def test_it_stalls(stage: Stage) -> None:
    client, _ = asked(stage)
    stage.pass_time(59.0)
    assert client.bytes == b""
    stage.pass_time(2.0)
    fault(client.answer())


def test_the_client_leaves(stage: Stage) -> None:
    client, server = asked(stage)
    client.leave()
    assert server.closed
    hanging = stage.client()
    stage.server.hangs = True
    hanging.send(get("/"))
    hanging.leave()
    assert stage.gateway.backstage.pool.statistics() == (0, 0)


def test_a_slow_reader_slows_it(stage: Stage) -> None:
    client, server = asked(stage)
    client.transport.stuck = True
    server.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    count = 0
    while server.transport.reading:
        server.say(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        count += 1
        assert count < 100
    client.transport.unstick()
    assert server.transport.reading
    server.say(b"0\r\n\r\n")
    assert len(client.answer().body) == 0x4000 * count


def test_it_costs_no_place_and_leaves_no_record(stage: Stage) -> None:
    _, server = asked(stage)
    assert stage.gateway.caps.in_flight == 0
    page(server)
    assert stage.records == []
