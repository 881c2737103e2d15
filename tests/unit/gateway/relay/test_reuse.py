"""Connections to upstreams: kept when all was clean, asked once more when one was closed while idle."""

from __future__ import annotations

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk, completion
from tests.unit.gateway.stage import Stage

RESET = ConnectionResetError(104, "reset")


def warmed(stage: Stage) -> None:
    """Leave one idle connection behind."""
    client = stage.client().ask()
    stage.server.last.answer()
    client.leave()
    assert stage.upstream.pool.statistics() == (1, 1)


@pytest.mark.parametrize("error", [None, RESET])
def test_a_connection_that_was_closed_while_idle_is_tried_once_more_on_a_fresh_one(
    stage: Stage, error: Exception | None
) -> None:
    warmed(stage)
    client = stage.client().ask(user="again")
    stage.server.connections[0].close(error)
    assert len(stage.server.connections) == 2
    assert stage.server.last.request.json()["user"] == "again"
    stage.server.last.answer()
    assert client.answer().status == 200
    assert [record.status for record in stage.settled] == [200, 200]


def test_the_fresh_one_is_not_tried_again(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.server.connections[0].close()
    stage.server.connections[1].close()
    assert client.answer().status == 502
    assert len(stage.server.connections) == 2


def test_another_old_one_is_not_taken_for_the_second_try(stage: Stage) -> None:
    clients = [stage.client().ask() for _ in range(3)]
    for connection in stage.server.connections:
        connection.answer()
    client = clients[0].ask()
    (busy,) = [one for one in stage.server.connections if len(one.requests) == 2]
    busy.close()
    assert len(stage.server.connections) == 4
    stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200]


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_once_it_has_said_a_byte_nothing_is_sent_twice(stage: Stage, said: bytes) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.server.last.say(said).close()
    assert client.answer().status == 502
    assert len(stage.server.connections) == 1


def test_garbage_on_an_old_connection_is_not_asked_again(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.server.last.say(b"garbage\r\n\r\n")
    assert client.answer().status == 502
    assert len(stage.server.connections) == 1


def test_a_server_that_worked_on_it_for_long_is_not_asked_again(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.pass_time(20.0)
    stage.server.last.close()
    assert client.answer().status == 502
    assert len(stage.server.connections) == 1


def test_a_timeout_on_an_old_connection_is_not_asked_again(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.pass_time(601.0)
    assert client.answer().status == 504
    assert len(stage.server.connections) == 1


def test_a_second_try_that_finds_nobody_is_an_error(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.server.refuses = ConnectionRefusedError(111, "refused")
    stage.server.last.close()
    assert client.answer().error["code"] == "upstream_unreachable"
    assert len(stage.settled) == 2


def test_a_client_that_leaves_between_the_tries(stage: Stage) -> None:
    warmed(stage)
    client = stage.client().ask()
    stage.server.hangs = True
    stage.server.last.close()
    client.leave()
    assert [record.status for record in stage.settled] == [200, 499]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: %d\r\n\r\n", True),
    ],
)
def test_which_connections_are_kept(stage: Stage, answer: bytes, kept: bool) -> None:
    client = stage.client().ask()
    body = completion()
    stage.server.last.say(answer % len(body) + body)
    assert client.answer().body == body
    assert stage.server.last.closed is not kept
    assert stage.upstream.pool.statistics() == ((1, 1) if kept else (0, 0))


SMUGGLED = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("extra", [SMUGGLED, b"x", b"HTTP/1.1 ", b"\x00", b"0\r\n\r\n"])
def test_what_follows_an_answer_ends_the_connection_and_reaches_nobody(stage: Stage, extra: bytes) -> None:
    client = stage.client().ask()
    body = completion("mine")
    stage.server.last.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b%b" % (len(body), body, extra))
    assert client.answer().body == body
    assert stage.server.last.closed
    other = stage.client().ask()
    assert len(stage.server.connections) == 2
    stage.server.last.answer(completion("other's"))
    assert other.answer().body == completion("other's")


def test_what_follows_a_recognised_answer_ends_the_connection_too(stage: Stage) -> None:
    client = stage.client()
    body = completion("mine")
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    for _ in range(3):
        client.ask()
        stage.server.last.say(whole)
    assert len(stage.server.connections) == 1
    client.ask()
    stage.server.last.say(whole + SMUGGLED)
    assert stage.server.last.closed
    assert [answer.body for answer in client.answers()] == [body] * 4


@pytest.mark.parametrize("extra", [SMUGGLED, b"x", b"\r\n"])
def test_an_idle_connection_that_speaks_is_closed(stage: Stage, extra: bytes) -> None:
    warmed(stage)
    stage.server.last.say(extra)
    assert stage.server.last.closed
    client = stage.client().ask()
    assert len(stage.server.connections) == 2
    stage.server.last.answer(completion("clean"))
    assert client.answer().body == completion("clean")


def test_an_idle_connection_that_closes_is_forgotten(stage: Stage) -> None:
    warmed(stage)
    stage.server.last.close()
    assert stage.upstream.pool.statistics() == (0, 0)


def test_a_stream_s_connection_is_kept_when_it_ended_cleanly(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk(), LAST, DONE).end_stream()
    client.ask()
    stage.server.last.answer()
    assert len(stage.server.connections) == 1
    assert len(client.answers()) == 2


def test_answers_with_alike_heads_keep_their_own_bodies_and_headers(stage: Stage) -> None:
    client = stage.client()
    for number in range(6):
        client.ask()
        trace = b"x-ds-trace-id: %d\r\n" % (number // 3)
        stage.server.last.answer(completion("x" * number), headers=trace, size=(0, 50)[number == 4])
    for number, answer in enumerate(client.answers()):
        assert answer.body == completion("x" * number)
        assert answer.header("x-ds-trace-id") == str(number // 3)
    assert len(stage.server.connections) == 1


def test_no_more_idle_connections_are_kept_than_allowed(stage: Stage) -> None:
    stage.upstream.pool._keep = 2
    clients = [stage.client().ask() for _ in range(5)]
    for connection in stage.server.connections:
        connection.answer()
    assert all(client.answer().status == 200 for client in clients)
    assert stage.upstream.pool.statistics() == (2, 2)
    assert sum(connection.closed for connection in stage.server.connections) == 3
