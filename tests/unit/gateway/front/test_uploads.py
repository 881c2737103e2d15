"""Uploads go on as they come: no more than a read of one is ever held, and its client feels the other side."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gateway.messages import KEY, completion, get
from tests.unit.gateway.stage import Client, ServerConnection, Stage

MAX = 1_000_000
CONFIG = f"""
[server]
max_body = 1000
[files]
max_size = {MAX}
[[upstreams]]
name = "up"
kind = "openai"
base_url = "http://up.test:8001/base"
[[models]]
name = "m"
targets = [{{ upstream = "up" }}]
"""
KEYED = f"Authorization: Bearer {KEY}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
ANSWER = b'{"id":"file-api-1"}'


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    return make_stage(CONFIG)


def head(length: int | None = None, more: str = KEYED, path: str = "/v1/files") -> bytes:
    framing = CHUNKED if length is None else f"Content-Length: {length}\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b\r\n"
    return f"POST {path}?a=b HTTP/1.1\r\nHost: a\r\n{kind}{more}{framing}\r\n".encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def began(
    stage: Stage, length: int | None = None, path: str = "/v1/files"
) -> tuple[Client, ServerConnection]:
    client = stage.client().send(head(length, path=path))
    assert stage.server.last.address == "/control.sock"
    return client, stage.server.last


def answer(server: ServerConnection, status: int = 200) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    server.say(head % (status, len(ANSWER)) + ANSWER)


@pytest.mark.parametrize("path", ["/v1/files", "/files"])
def test_it_is_passed_on_before_it_is_whole(stage: Stage, path: str) -> None:
    body = bytes(range(256)) * 100  # over max_body
    client, server = began(stage, len(body), path)
    for at in range(0, len(body), 5000):
        client.send(body[at : at + 5000])
        assert bytes(server.transport.taken).endswith(body[at : at + 5000][-100:])
    request = server.request
    assert (request.method, request.target, request.body) == ("POST", f"{path}?a=b", body)
    assert request.header("content-type") == "multipart/form-data; boundary=b"
    assert request.header("x-abyssal-credential") == "key_1"
    assert request.header("x-abyssal-address") == "192.0.2.1"
    assert request.header("content-length") == str(len(body))
    assert KEY.encode() not in bytes(server.transport.taken)
    answer(server)
    assert client.answer().body == ANSWER
    assert client.answer().header("connection") is None


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_chunks_go_on_as_chunks(stage: Stage, size: int) -> None:
    client = stage.client()
    body = b"x" * 700 + b"y" * 700
    client.send(head() + chunked(body[:700]) + chunked(body[700:]) + b"0\r\n\r\n", size=size)
    server = stage.server.last
    assert server.request.body == body
    assert server.request.header("transfer-encoding") == "chunked"
    answer(server)
    assert client.answer().body == ANSWER


def test_the_connection_is_kept(stage: Stage) -> None:
    client, server = began(stage, 3000)
    client.send(b"x" * 3000)
    answer(server)
    client.send(get("/healthz"))
    client.send(head(5) + b"small")
    again = stage.server.last
    assert again is not server
    assert server.closed
    answer(again)
    client.ask()
    stage.server.last.answer(completion())
    assert [one.status for one in client.answers()] == [200, 200, 200, 200]


def test_what_is_pipelined_behind_it_waits(stage: Stage) -> None:
    client = stage.client().send(head(2000) + b"x" * 2000 + get("/healthz"))
    server = stage.server.last
    assert client.bytes == b""
    answer(server)
    assert [one.body for one in client.answers()] == [ANSWER, b'{"status":"ok"}']


def test_behind_another_request_it_is_collected(stage: Stage) -> None:
    client = stage.client().ask().send(head(5) + b"small")
    stage.server.last.answer(completion())
    assert stage.server.last.request.body == b"small"
    answer(stage.server.last)
    assert [one.status for one in client.answers()] == [200, 200]
    client = stage.client().ask().send(head(2000))
    stage.server.connections[0].answer(completion())
    assert client.answers()[1].error["code"] == "payload_too_large"


def test_what_must_be_proved_by_its_body_is_collected(stage: Stage) -> None:
    signed = "X-Api-Key: sig_1\r\nX-Api-Timestamp: 1\r\nX-Api-Nonce: n\r\nX-Api-Signature: s\r\n"
    client = stage.client().send(head(100, signed) + b"x" * 50)
    assert client.bytes == b""
    assert client.send(b"x" * 50).answer().status == 401
    assert stage.client().send(head(2000, signed)).answer().status == 413


def test_strangers_are_told_before_they_send_it(stage: Stage) -> None:
    client = stage.client().send(head(5000, "Authorization: Bearer sk-wrong\r\nExpect: 100-continue\r\n"))
    assert client.answer().status == 401
    assert client.answer().header("connection") == "close"
    assert not stage.server.connections
    client.transport.deliver(b"x" * 5000)
    assert len(client.answers()) == 1


def test_leave_to_send_is_given_to_who_may(stage: Stage) -> None:
    client = stage.client().send(head(10, KEYED + "Expect: 100-continue\r\n"))
    assert client.bytes == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"0123456789")
    answer(stage.server.last)
    assert client.answer().body == ANSWER


# Limits and faults


def test_what_says_that_it_is_too_large(stage: Stage) -> None:
    client = stage.client().send(head(MAX + 65_537))
    assert (client.answer().status, client.answer().error["code"]) == (413, "payload_too_large")
    assert not stage.server.connections


def test_what_turns_out_to_be_too_large(stage: Stage) -> None:
    client, server = began(stage)
    while not client.bytes:
        client.send(chunked(b"x" * 50_000))
        assert len(server.transport.taken) < MAX + 200_000
    assert client.answer().error["code"] == "payload_too_large"
    assert len(server.transport.taken) > MAX
    assert server.closed


def test_an_early_answer_is_passed_on_and_ends_it(stage: Stage) -> None:
    client, server = began(stage, 100_000)
    client.send(b"x" * 5000)
    answer(server, 413)
    assert (client.answer().status, client.answer().body) == (413, ANSWER)
    assert client.answer().header("connection") == "close"
    assert server.closed
    assert b"connection:" not in bytes(server.transport.taken)  # a close with a body unread loses the answer
    before = len(server.transport.taken)
    client.transport.deliver(b"x" * 5000)
    assert len(server.transport.taken) == before
    stage.pass_time(3)
    assert client.gone


def test_the_client_feels_a_slow_disk(stage: Stage) -> None:
    client, server = began(stage, 500_000)
    server.transport.stuck = True
    sent = 0
    while client.transport.reading:
        client.send(b"x" * 10_000)
        sent += 10_000
        assert sent < 200_000
    stage.pass_time(40)  # longer than a client may take: it is not its fault
    assert client.bytes == b""
    server.transport.unstick()
    assert client.transport.reading
    client.send(b"x" * (500_000 - sent))
    answer(server)
    assert client.answer().body == ANSWER


def test_a_disk_that_never_takes_it(stage: Stage) -> None:
    client, server = began(stage, 500_000)
    server.transport.stuck = True
    while client.transport.reading:
        client.send(b"x" * 10_000)
    stage.pass_time(62)
    assert client.answer().status == 503
    assert server.closed


def test_a_client_that_stalls(stage: Stage) -> None:
    client, server = began(stage, 1000)
    stage.pass_time(25)
    client.send(b"x")
    stage.pass_time(25)
    assert client.bytes == b""
    stage.pass_time(7)
    assert client.answer().status == 408
    assert server.closed


def test_a_client_that_leaves(stage: Stage) -> None:
    client, server = began(stage, 1000)
    client.send(b"x").leave()
    assert server.closed
    client, server = began(stage, 1000)
    client.reset()
    assert server.closed


def test_broken_framing(stage: Stage) -> None:
    client, server = began(stage)
    client.send(chunked(b"fine") + b"no size\r\n")
    assert client.answer().status == 400
    assert server.closed
    client, server = began(stage)
    for _ in range(60_000):
        if client.bytes:
            break
        client.send(b"1;%b\r\nx\r\n" % (b"e" * 200))  # more framing than body
    assert client.answer().error["code"] == "bad_framing"
    assert server.closed


def test_broken_framing_after_an_answer_began(stage: Stage) -> None:
    client, server = began(stage)
    server.say(b"HTTP/1.1 413 X\r\nContent-Length: 50\r\n\r\nhalf")
    client.send(b"no size\r\n")
    assert client.transport.aborted
    assert server.closed


def test_the_control_process_is_away(stage: Stage) -> None:
    stage.server.refuses = FileNotFoundError(2, "No such file")
    client = stage.client().send(head(1000) + b"x" * 100)
    assert client.answer().status == 503
    client, server = None, None
    stage.server.refuses = None
    client, server = began(stage, 1000)
    server.close()
    assert client.answer().status == 503


def test_a_connection_that_takes_long_to_make_holds_one_read(stage: Stage) -> None:
    stage.server.hangs = True
    client = stage.client().send(head(100_000) + b"x" * 100)
    assert not client.transport.reading
    client.leave()
    assert stage.gateway.backstage.pool.statistics() == (0, 0)


def test_draining_lets_it_end(stage: Stage) -> None:
    client, server = began(stage, 1000)
    stage.gateway.drain()
    client.send(b"x" * 1000)
    answer(server)
    assert client.answer().body == ANSWER
    assert client.answer().header("connection") == "close"


def test_old_clients_and_empty_ones(stage: Stage) -> None:
    old = head(5).replace(b"HTTP/1.1", b"HTTP/1.0") + b"small"
    client = stage.client().send(old)
    answer(stage.server.last)
    assert client.answer().body == ANSWER
    client = stage.client().send(head(0))
    assert stage.server.last.request.body == b""
    answer(stage.server.last)
    assert client.answer().body == ANSWER
