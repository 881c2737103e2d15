"""How sockets end: limits, pings, clients that do not read or leave, the server going away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk
from tests.unit.gateway.stage import CONFIG, Stage

from .sockets import AUTH_INIT, BARE, INIT, SocketClient, upgrade, upstream, wire

ONE_AT_ONCE = CONFIG.format(kind="openai") + "[limits]\nconcurrency_per_key = 1\n"


@pytest.fixture
def narrow(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage(ONE_AT_ONCE)


# Limits


def test_a_limit_at_the_very_first_request_closes_the_socket(narrow: Stage) -> None:
    narrow.client().ask()
    socket = SocketClient(narrow).send(BARE)
    (message,) = socket.take()
    assert (message["error"]["code"], message["retry_after"]) == ("concurrency_exceeded", 1)
    assert socket.code == 4429
    assert narrow.refused[0].status == 429


def test_a_limit_later_leaves_the_socket_open(narrow: Stage) -> None:
    socket = SocketClient(narrow, key="").send(AUTH_INIT, INIT)
    upstream(narrow).stream(LAST, DONE).end_stream()
    socket.take()
    narrow.client().ask()
    socket.send(INIT)
    (message,) = socket.take()
    assert message["error"]["code"] == "concurrency_exceeded"
    narrow.server.last.answer()
    socket.send(INIT)
    upstream(narrow).stream(LAST, DONE).end_stream()
    assert socket.take()[0]["type"] == "complete"
    assert socket.code is None


# Pings


def test_a_ping_every_20_seconds_keeps_an_idle_socket_open(stage: Stage) -> None:
    socket = SocketClient(stage).wait(19)
    assert socket.pings == 0
    assert socket.wait(2).pings == 1
    assert socket.wait(280).pings in (13, 14, 15)
    assert socket.code is None
    socket.send(BARE)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert socket.code == 1000


def test_a_socket_without_a_pong_in_20_seconds_is_closed(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT)
    socket.pongs = False
    socket.wait(38)
    assert not socket.transport.ended
    socket.wait(4)
    assert socket.code == 1011
    assert stage.settled[0].status == 499
    socket.wait(5)
    assert socket.transport.lost


def test_unread_messages_before_a_ping_put_off_its_pong(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE)
    server = upstream(stage)
    socket.transport.stuck = True
    for _ in range(4):  # a client that reads on after 40 s, and half a minute later again
        server.stream(chunk("x" * 1000))
        stage.pass_time(40)
        socket.transport.unstick()
        socket.read()
        socket.transport.stuck = True
    assert socket.code is None
    socket.transport.unstick()
    server.stream(LAST, DONE).end_stream()
    assert socket.code == 1000


# Clients that do not read


def test_a_client_that_reads_nothing_for_60_seconds_is_cut(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE)
    server = upstream(stage)
    socket.transport.stuck = True
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
    assert len(socket.transport.buffered) < 1024 * 1024
    stage.pass_time(58)
    assert not socket.transport.lost
    stage.pass_time(4)
    assert socket.transport.aborted
    assert server.closed
    assert (stage.settled[0].status, stage.settled[0].code) == (499, "client_gone")


def test_a_little_that_is_never_read_is_noticed_too(stage: Stage) -> None:
    socket = SocketClient(stage)
    socket.transport.stuck = True
    stage.pass_time(90)
    assert socket.transport.aborted


def test_a_client_that_catches_up_gets_everything(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE)
    server = upstream(stage)
    socket.transport.stuck = True
    count = 0
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
        count += 1
    stage.pass_time(50)
    socket.transport.unstick()
    assert server.transport.reading
    server.stream(LAST, DONE).end_stream()
    assert len(socket.take()) == count + 1
    assert stage.settled[0].status == 200


def test_nothing_is_started_for_a_client_that_does_not_read(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT, INIT)
    server = upstream(stage)
    socket.transport.stuck = True
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
    socket.send({"type": "cancel"})
    assert server.closed
    assert len(stage.server.requests) == 1
    socket.transport.unstick()
    stage.turn()
    assert len(stage.server.requests) == 2
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()][-2:] == ["cancelled", "complete"]


def test_what_a_client_sends_while_it_does_not_read_is_bounded(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT)
    server = upstream(stage)
    socket.transport.stuck = True
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
    for _ in range(20):
        socket.send(INIT | {"prompt": "x" * 10_000})
    assert not socket.transport.reading
    socket.transport.unstick()
    assert socket.transport.reading
    socket.transport.peer_closes()


# Clients that leave


def test_the_code_of_a_closing_is_said_back(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT).close(4000)
    assert socket.code == 4000
    assert socket.transport.lost
    assert stage.settled[0].status == 499


def test_a_closing_without_a_code(stage: Stage) -> None:
    socket = SocketClient(stage).close(None)
    assert socket.code == 1005
    assert socket.transport.lost


@pytest.mark.parametrize("how", ["half-close", "reset"])
def test_a_client_that_leaves_without_a_word(stage: Stage, how: str) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT, INIT)
    server = upstream(stage)
    socket.http.leave() if how == "half-close" else socket.http.reset()
    assert server.closed
    assert [settled.status for settled in stage.settled] == [499]
    assert len(stage.server.requests) == 1
    assert not stage.gateway.front.connections


def test_our_closing_waits_2_seconds_for_the_other_side(stage: Stage) -> None:
    socket = SocketClient(stage)
    socket.pongs = False
    socket.send(BARE)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert not socket.transport.closing
    socket.wait(4)
    assert socket.transport.lost
    assert socket.code == 1000


# The server goes away


def test_idle_sockets_are_closed_when_the_server_goes_away(stage: Stage) -> None:
    idle, working = SocketClient(stage), SocketClient(stage, key="").send(AUTH_INIT, INIT)
    server = upstream(stage)
    stage.gateway.draining = stage.gateway.front.draining = True
    stage.gateway.front.drain()
    assert idle.code == 1001
    assert working.code is None
    assert stage.gateway.front.busy
    server.stream(chunk("a"), LAST, DONE).end_stream()
    assert [message["type"] for message in working.take()] == ["text_stream", "complete"]
    assert working.code == 1001
    assert not stage.gateway.front.busy


def test_no_socket_is_opened_while_the_server_goes_away(stage: Stage) -> None:
    wire(stage)
    client = stage.client()
    stage.gateway.draining = stage.gateway.front.draining = True
    answer = client.send(upgrade()).answer()
    assert (answer.status, answer.error["code"]) == (503, "shutting_down")


def test_a_client_that_does_not_say_goodbye_holds_up_nothing(stage: Stage) -> None:
    socket: Any = SocketClient(stage)
    socket.pongs = False
    stage.gateway.front.draining = True
    stage.gateway.front.drain()
    stage.pass_time(4)
    assert not stage.gateway.front.busy
