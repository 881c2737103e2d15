"""What another worker has is asked of it on its private socket, and passed on in whole events."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.gateway.front.sockets import SocketClient
from tests.unit.gateway.messages import KEY
from tests.unit.gateway.resuming.streams import NOBODY, resume
from tests.unit.gateway.stage import Client, ServerConnection, Stage

from abyssal.gateway.dialects.sockets.messages import frame

THEIRS = "1.AAAAAAAAAAAAAAAAAAAAAA.7"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-abyssal-event-id: %b\r\n%b"
    b"date: whenever\r\nx-request-id: theirs\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENTS = [b"id: %d\ndata: %d\n\n" % (number, number) for number in range(8, 12)]


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """The worker at place 0 of two."""
    return make_stage(siblings="/run")


def asked(stage: Stage, event_id: str = THEIRS) -> tuple[Client, ServerConnection]:
    client = resume(stage, event_id)
    return client, stage.server.last


def begin(sibling: ServerConnection, lines: bytes = b"") -> None:
    sibling.say(HEAD % (THEIRS.encode(), lines))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_the_sibling_is_told_who_asks_and_not_the_credential(stage: Stage) -> None:
    _, sibling = asked(stage)
    assert sibling.address == "/run/worker-1.sock"
    request = sibling.request
    assert (request.method, request.target, request.body) == ("GET", "/v1/chat/completions", b"")
    assert request.header("last-event-id") == THEIRS
    assert request.header("x-abyssal-project") == "proj_1"
    assert KEY.encode() not in bytes(sibling.transport.taken)


def test_its_answer_comes_as_if_it_were_ours(stage: Stage) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    sibling.say(b"".join(map(chunk, EVENTS)))
    sibling.end_stream()
    answer = client.answer()
    assert answer.body == b"".join(EVENTS)
    assert answer.header("x-abyssal-event-id") == THEIRS
    assert answer.header("x-request-id") not in (None, "theirs")
    assert answer.header("date") != "whenever"


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_it_passes_in_whole_events_however_it_comes(stage: Stage, size: int) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    data = b"".join(map(chunk, EVENTS))
    for at in range(0, len(data), size):
        sibling.say(data[at : at + size])
        (answer,) = client.answers()
        assert answer.body == b"".join(EVENTS[: answer.body.count(b"\n\n")])
    sibling.end_stream()
    assert client.answer().body == b"".join(EVENTS)


@pytest.mark.parametrize("size", [1, 5])
def test_messages_pass_whole_too(stage: Stage, size: int) -> None:
    socket = SocketClient(stage).send({"type": "resume", "last_event_id": THEIRS})
    sibling = stage.server.last
    assert sibling.request.target == "/v1/stream"
    begin(sibling, b"x-abyssal-dialect: bare\r\n")
    messages = [b'{"content":"%b","event_id":"x"}' % (b"y" * length) for length in (1, 200, 3)]
    data = b"".join(chunk(frame(message)) for message in messages)
    for at in range(0, len(data), size):
        sibling.say(data[at : at + size])
        socket.read()
        if at == 100:
            stage.pass_time(21.0)  # a ping: it falls between two of them
    sibling.end_stream()
    socket.read()
    assert [len(message["content"]) for message in socket.messages] == [1, 200, 3]
    assert socket.pings == 1
    assert socket.code == 1000


def not_there(sibling: ServerConnection) -> None:
    sibling.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")


def closed_at_once(sibling: ServerConnection) -> None:
    sibling.close()


def reset(sibling: ServerConnection) -> None:
    sibling.close(ConnectionResetError(104, "reset"))


def nonsense(sibling: ServerConnection) -> None:
    sibling.say(b"what?\r\n\r\n")


@pytest.mark.parametrize("what", [not_there, closed_at_once, reset, nonsense])
def test_whatever_it_says_but_yes_is_no_such_stream(
    stage: Stage, what: Callable[[ServerConnection], None]
) -> None:
    client, sibling = asked(stage)
    what(sibling)
    assert client.answer().error == resume(stage, NOBODY).answer().error
    assert client.answer().status == 404


def test_one_that_is_not_there_has_no_streams(stage: Stage) -> None:
    stage.server.refuses = ConnectionRefusedError(111, "refused")
    assert resume(stage, THEIRS).answer().error["code"] == "stream_not_found"


@pytest.mark.parametrize("place", ["2", "17", "9999"])
def test_nobody_is_asked_at_a_place_that_there_is_not(stage: Stage, place: str) -> None:
    assert resume(stage, place + THEIRS[1:]).answer().error["code"] == "stream_not_found"
    assert stage.server.connections == []


@pytest.mark.parametrize("what", [closed_at_once, reset])
def test_one_that_dies_in_the_middle_cuts_the_answer(
    stage: Stage, what: Callable[[ServerConnection], None]
) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    sibling.say(chunk(EVENTS[0]))
    what(sibling)
    assert client.gone
    assert not client.answers()[0].complete


def test_an_end_inside_an_event_is_none(stage: Stage) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    sibling.say(chunk(EVENTS[0] + EVENTS[1][:-1])).end_stream()
    assert client.gone
    assert client.answers()[0].body == EVENTS[0]


def test_a_socket_is_told_that_the_answer_broke_off(stage: Stage) -> None:
    socket = SocketClient(stage).send({"type": "resume", "last_event_id": THEIRS})
    begin(stage.server.last)
    stage.server.last.close()
    assert socket.error["code"] == "upstream_broken"
    assert socket.code is None


def test_a_client_that_leaves_is_seen_there(stage: Stage) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    client.leave()
    assert sibling.closed


def test_a_client_that_left_before_the_connection_was_made(stage: Stage) -> None:
    stage.server.hangs = True
    client = resume(stage, THEIRS)
    client.leave()
    assert stage.server.connections == []


def test_a_slow_client_is_felt_there(stage: Stage) -> None:
    client, sibling = asked(stage)
    begin(sibling)
    client.transport.stuck = True
    while sibling.transport.reading:
        sibling.say(chunk(b"id: 1\ndata: " + b"x" * 10_000 + b"\n\n"))
    client.transport.unstick()
    assert sibling.transport.reading
    sibling.end_stream()
    assert client.answer().complete


def test_an_idle_connection_that_was_closed_is_replaced(stage: Stage) -> None:
    first, sibling = asked(stage)
    begin(sibling)
    sibling.end_stream()
    assert first.answer().complete
    second = resume(stage, THEIRS)
    assert len(sibling.requests) == 2
    sibling.close()
    assert len(stage.server.connections) == 2
    begin(stage.server.last)
    stage.server.last.end_stream()
    assert second.answer().complete


def test_delete_is_passed_on_and_not_waited_for(stage: Stage) -> None:
    client = resume(stage, THEIRS, method="DELETE")
    assert client.answer().json() == {"object": "stream", "deleted": True}
    assert stage.server.last.request.method == "DELETE"
    stage.server.last.answer(b"{}")


def test_cancel_on_a_socket_is_passed_on(stage: Stage) -> None:
    socket = SocketClient(stage).send({"type": "resume", "last_event_id": THEIRS})
    begin(stage.server.last)
    socket.send({"type": "cancel"})
    assert socket.messages == [{"type": "cancelled"}]
    assert stage.server.connections[0].closed
    assert stage.server.last.request.method == "DELETE"
    stage.server.last.answer(b"{}")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/"])
def test_the_private_socket_has_nothing_but_streams(stage: Stage, path: str) -> None:
    client = Client(stage, "", stage.gateway.private_front)
    client.send(f"GET {path} HTTP/1.1\r\nHost: sibling\r\n\r\n".encode())
    assert client.answer().status == 404
    client.leave()
