"""Resuming over WebSocket: ids in messages, `resume` on another socket, `cancel`, taking over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gateway.front.sockets import (
    AUTH_INIT,
    AUTH_REQUEST,
    BARE,
    INIT,
    REQUEST,
    SocketClient,
    upstream,
)
from tests.unit.gateway.messages import DONE, LAST, chunk, completion
from tests.unit.gateway.stage import ServerConnection, Stage

from .streams import CHAT, NOBODY, STRANGER, let_in_strangers
from .streams import resume as resume_over_http

EVENTS = [chunk(text) for text in ("one", "two", "three")]


def begun(stage: Stage, *events: bytes, ask: Any = INIT) -> tuple[SocketClient, ServerConnection]:
    """A socket with a resumable answer under way, and who sends it."""
    client = SocketClient(stage).send(ask | {"resumable": True})
    server = upstream(stage)
    for event in events:
        server.stream(event)
    client.read()
    return client, server


def end(server: ServerConnection) -> None:
    server.stream(LAST, DONE).end_stream()


def resume(event_id: str) -> dict[str, str]:
    return {"type": "resume", "last_event_id": event_id}


def ids(client: SocketClient) -> list[str]:
    return [message["event_id"] for message in client.read().messages if "event_id" in message]


def contents(client: SocketClient) -> list[str]:
    return [message["content"] for message in client.read().messages if "content" in message]


@pytest.mark.parametrize("ask", [INIT, BARE])
def test_every_message_has_an_id(stage: Stage, ask: Any) -> None:
    client, server = begun(stage, *EVENTS, ask=ask)
    end(server)
    stem = ids(client)[0][:-1]
    assert ids(client) == [f"{stem}{number}" for number in range(1, 5)]
    assert contents(client)[:3] == ["one", "two", "three"]
    assert len(client.messages) == 4


def test_without_being_asked_there_is_none(stage: Stage) -> None:
    client = SocketClient(stage).send(INIT)
    upstream(stage).stream(*EVENTS)
    assert ids(client) == []
    assert len(contents(client)) == 3


def test_the_field_does_not_travel(stage: Stage) -> None:
    begun(stage)
    assert "resumable" not in stage.server.last.request.json()


def test_the_upgrade_may_ask_for_all(stage: Stage) -> None:
    client = SocketClient(stage, headers=b"x-abyssal-resumable: 1\r\n").send(INIT)
    upstream(stage).stream(*EVENTS, LAST, DONE).end_stream()
    assert len(ids(client)) == 4
    client.send(INIT | {"resumable": False})
    stage.server.last.begin_stream().stream(*EVENTS)
    assert len(ids(client)) == 4


def test_the_rest_comes_on_another_socket(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0])
    first.transport.peer_closes(ConnectionResetError(104, "reset"))
    server.stream(EVENTS[1])
    second = SocketClient(stage).send(resume(ids(first)[-1]))
    server.stream(EVENTS[2])
    end(server)
    assert contents(second) == ["two", "three"]
    assert second.messages[-1]["type"] == "complete"
    assert ids(first) + ids(second) == [f"{ids(first)[0][:-1]}{number}" for number in range(1, 5)]
    assert [record.status for record in stage.settled] == [200]


def test_the_credential_may_come_in_a_message(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0])
    first.close()
    second = SocketClient(stage, key="").send(AUTH_INIT, resume(ids(first)[-1]))
    server.stream(EVENTS[1])
    end(server)
    assert contents(second) == ["two"]
    assert second.code is None


def test_a_closed_socket_has_left_too(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0])
    first.close()
    assert not server.closed
    assert stage.gateway.caps.in_flight == 1


def test_before_the_first_message_leaving_is_the_end(stage: Stage) -> None:
    first, server = begun(stage)
    first.close()
    assert server.closed


def test_a_bare_answer_ends_the_socket_that_resumes_it(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0], ask=BARE)
    first.close()
    second = SocketClient(stage).send(resume(ids(first)[-1]))
    end(server)
    assert second.read().messages[-1]["finish_reason"] == "stop"
    assert second.read().code == 1000


def test_other_answers_leave_it_open_for_the_next_request(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0], ask=REQUEST)
    first.close()
    second = SocketClient(stage).send(resume(ids(first)[-1]))
    end(server)
    assert second.read().code is None
    second.send(REQUEST)
    stage.server.last.begin_stream().stream(chunk("more"), LAST, DONE).end_stream()
    assert contents(second)[-1] == "more"
    second.send(INIT)
    assert second.messages[-1]["error"]["code"] == "unexpected_message"


def test_a_resume_waits_its_turn(stage: Stage) -> None:
    first, left = begun(stage, EVENTS[0])
    first.close()
    end(left)
    second, server = begun(stage, chunk("mine"))
    second.send(resume(ids(first)[-1]))
    assert contents(second) == ["mine"]
    server.stream(chunk("still"))
    end(server)
    second.read()
    assert [message["type"] for message in second.messages] == ["text_stream"] * 2 + ["complete"] * 2


def test_cancel_is_for_good(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    event_id = ids(client)[0]
    client.send({"type": "cancel"})
    assert client.messages[-1] == {"type": "cancelled"}
    assert server.closed
    assert [record.code for record in stage.settled] == ["client_gone"]
    client.send(resume(event_id))
    assert client.messages[-1]["error"]["code"] == "stream_not_found"
    client.send(INIT)
    stage.server.last.begin_stream().stream(chunk("next"))
    assert contents(client)[-1] == "next"


def test_cancel_of_what_was_resumed(stage: Stage) -> None:
    first, server = begun(stage, *EVENTS)
    first.close()
    second = SocketClient(stage).send(resume(ids(first)[-1]), {"type": "cancel"})
    assert second.messages == [{"type": "cancelled"}]
    assert server.closed


def test_who_comes_back_takes_it_over_and_the_old_socket_is_told(stage: Stage) -> None:
    old, server = begun(stage, EVENTS[0])
    new = SocketClient(stage).send(resume(ids(old)[-1]))
    error = old.read().messages[-1]
    assert (error["type"], error["error"]["code"]) == ("error", "stream_taken_over")
    server.stream(EVENTS[1])
    end(server)
    assert contents(new) == ["two"]
    assert contents(old) == ["one"]
    old.send(INIT)
    stage.server.last.begin_stream().stream(chunk("again"))
    assert contents(old)[-1] == "again"


def test_a_socket_that_is_taken_over_may_take_it_back_next(stage: Stage) -> None:
    old, server = begun(stage, EVENTS[0])
    event_id = ids(old)[-1]
    old.send(resume(event_id))
    new = SocketClient(stage).send(resume(event_id))
    assert [message["error"]["code"] for message in new.messages] == ["stream_taken_over"]
    server.stream(EVENTS[1])
    end(server)
    assert old.read().messages[1]["error"]["code"] == "stream_taken_over"
    assert contents(old) == ["one", "two"]
    assert contents(new) == []
    assert len(stage.gateway.streams) == 1


def test_whoever_may_not_gets_what_anybody_gets(stage: Stage) -> None:
    let_in_strangers(stage)
    first, _ = begun(stage, *EVENTS)
    told: list[Any] = []
    for event_id in (ids(first)[-1], NOBODY, "nonsense", "", "\0", "é" * 100_000):
        stranger = SocketClient(stage, key=STRANGER).send(resume(event_id))
        told.append(stranger.error)
        assert stranger.code is None
    assert told == [told[0]] * 6
    assert told[0]["code"] == "stream_not_found"


def test_without_a_credential_it_is_closed(stage: Stage) -> None:
    first, _ = begun(stage, *EVENTS)
    nobody = SocketClient(stage, key="").send(resume(ids(first)[-1]))
    assert nobody.code == 4401


def test_http_and_sockets_do_not_mix(stage: Stage) -> None:
    first, _ = begun(stage, *EVENTS)
    assert resume_over_http(stage, ids(first)[-1], CHAT).answer().status == 404
    other = SocketClient(stage, "/v1/chat/stream").send(resume(ids(first)[-1]))
    assert other.error["code"] == "stream_not_found"


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({"type": "resume"}, "last_event_id", "missing_field"),
        ({"type": "resume", "last_event_id": None}, "last_event_id", "missing_field"),
        ({"type": "resume", "last_event_id": 7}, "last_event_id", "invalid_value"),
        (INIT | {"resumable": "yes"}, "resumable", "invalid_value"),
        (INIT | {"resumable": 1}, "resumable", "invalid_value"),
    ],
)
def test_bad_messages(stage: Stage, message: Any, param: str, code: str) -> None:
    client = SocketClient(stage).send(AUTH_INIT, message)
    error = client.error
    assert (error["param"], error["code"]) == (param, code)
    client.send(INIT)
    assert len(stage.server.requests) == 1


def test_after_a_bad_message_the_dialect_is_still_open(stage: Stage) -> None:
    client = SocketClient(stage).send(INIT | {"resumable": "yes"}, AUTH_REQUEST, REQUEST)
    upstream(stage).stream(chunk("a"))
    assert contents(client) == ["a"]


def test_a_whole_answer_has_no_ids(stage: Stage) -> None:
    client = SocketClient(stage).send(INIT | {"resumable": True, "stream": False})
    stage.server.last.answer(completion("hello"))
    assert contents(client) == ["hello"]
    assert ids(client) == []


def test_a_slow_socket_gets_everything(stage: Stage) -> None:
    client, server = begun(stage, chunk("0"))
    client.transport.stuck = True
    sent = 1
    while server.transport.reading:
        server.stream(chunk(f"{sent}" + " " * 5000))
        sent += 1
    assert len(client.transport.buffered) < 64 * 1024
    client.transport.unstick()
    end(server)
    assert [int(text) for text in contents(client)] == list(range(sent))


def test_a_server_that_goes_away_ends_what_nobody_reads(stage: Stage) -> None:
    first, server = begun(stage, *EVENTS)
    first.close()
    stage.gateway.drain()
    assert server.closed


def test_pings_do_not_fall_into_messages(stage: Stage) -> None:
    first, server = begun(stage, EVENTS[0])
    first.close()
    second = SocketClient(stage).send(resume(ids(first)[-1]))
    second.wait(45)
    server.stream(EVENTS[1])
    end(server)
    assert second.read().pings >= 1
    assert contents(second) == ["two"]
