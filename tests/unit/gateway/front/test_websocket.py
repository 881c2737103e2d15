"""A whole gateway spoken to over WebSocket: the three dialects, order, cancelling, errors that stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, KEY, LAST, OTHER_KEY, USAGE, chat, chunk, completion
from tests.unit.gateway.stage import CONFIG, Stage
from websockets.frames import Frame, Opcode

from .sockets import (
    AUTH_INIT,
    AUTH_REQUEST,
    BARE,
    HANDSHAKE_ACCEPT,
    INIT,
    REQUEST,
    SocketClient,
    upgrade,
    upstream,
    wire,
)

DIALECTS: dict[str, tuple[str, list[Any], Any, Any, Any]] = {
    "auth/init": (
        "",
        [AUTH_INIT],
        INIT,
        {"type": "text_stream", "content": "a"},
        {"type": "complete", "finish_reason": "stop", "usage": USAGE, "model": ""},
    ),
    "auth/request": (
        "",
        [AUTH_REQUEST],
        REQUEST,
        {"type": "response", "content": "a"},
        {"type": "done", "finish_reason": "stop", "usage": USAGE, "model": ""},
    ),
    "bare": (
        KEY,
        [],
        BARE,
        {"content": "a"},
        {"content": "", "finish_reason": "stop", "usage": USAGE, "model": ""},
    ),
}
each_dialect = pytest.mark.parametrize(
    ("key", "auth", "ask", "piece", "last"), DIALECTS.values(), ids=DIALECTS
)


@each_dialect
def test_a_stream(stage: Stage, key: str, auth: list[Any], ask: Any, piece: Any, last: Any) -> None:
    socket = SocketClient(stage, key=key).send(*auth, ask)
    assert socket.take() == []
    asked = stage.server.last.request
    assert asked.json()["messages"] == [{"role": "user", "content": "hello there"}]
    assert asked.json()["stream"] is True
    assert asked.header("content-type") == "application/json"
    assert "sec-websocket" not in str(asked.headers)
    assert KEY not in str(asked.headers) + str(asked.body)
    server = upstream(stage).stream(chunk("a"))
    assert socket.take() == [piece]
    server.stream(chunk("a"), LAST, DONE).end_stream()
    assert socket.take() == [piece, last]
    (settled,) = stage.settled
    assert (settled.status, settled.prompt_tokens, settled.completion_tokens) == (200, 11, 5)
    assert socket.code == (1000 if ask is BARE else None)


@each_dialect
def test_several_requests_one_after_another(
    stage: Stage, key: str, auth: list[Any], ask: Any, piece: Any, last: Any
) -> None:
    socket = SocketClient(stage, key=key).send(*auth, ask, ask, ask)
    for number in range(3):
        assert len(stage.server.requests) == number + 1, "one at a time"
        upstream(stage).stream(chunk("a"), LAST, DONE).end_stream()
        assert socket.take() == [piece, last]
    assert len(stage.settled) == 3
    if ask is not BARE:
        socket.send(ask)
        upstream(stage).stream(LAST, DONE).end_stream()
        assert socket.take() == [last]
        assert socket.code is None


def test_the_upgrade_is_answered_as_the_rfc_says(stage: Stage) -> None:
    socket = SocketClient(stage)
    assert f"sec-websocket-accept: {HANDSHAKE_ACCEPT.lower()}" in socket.head
    assert "x-request-id: " in socket.head
    assert "sec-websocket-extensions" not in socket.head


def test_a_socket_is_credited_to_the_key_of_its_message(stage: Stage) -> None:
    SocketClient(stage, key="").send({"type": "auth", "access_token": OTHER_KEY}, INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert stage.settled[0].key_id == "key_2"


def test_messages_in_place_of_a_prompt_and_other_fields_travel_on(stage: Stage) -> None:
    said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "ü"}]
    ask = {"model": "m", "messages": said, "temperature": 0.5, "max_tokens": 7, "vendor": {"x": [1]}}
    SocketClient(stage).send(ask)
    asked = stage.server.last.request.json()
    assert (asked["messages"], asked["temperature"], asked["max_tokens"]) == (said, 0.5, 7)
    assert asked["vendor"] == {"x": [1]}
    upstream(stage).stream(LAST, DONE).end_stream()


def test_an_answer_that_is_not_streamed(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE | {"stream": False})
    assert stage.server.last.request.json()["stream"] is False
    stage.server.last.answer(completion("whole"))
    last = {"content": "", "finish_reason": "stop", "usage": USAGE, "model": ""}
    assert socket.take() == [{"content": "whole"}, last]
    assert socket.code == 1000


def test_the_default_model_is_for_one_path(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(CONFIG.format(kind="openai").replace('name = "m"', 'name = "deepseek-chat"'))
    socket = SocketClient(stage, "/v1/chat/stream").send({"prompt": "hi"})
    assert stage.server.last.request.json()["model"] == "their-model"
    upstream(stage).stream(LAST, DONE).end_stream()
    assert socket.code == 1000
    other = SocketClient(stage).send({"prompt": "hi"})
    assert other.error["param"] == "model"


def test_comments_of_a_silent_upstream_are_not_messages(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE)
    socket.wait(40)
    upstream(stage).stream(chunk("a"), LAST, DONE).end_stream()
    assert [message["content"] for message in socket.take()] == ["a", ""]


# Cancelling


def test_cancel_ends_the_request_at_work(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT, INIT)
    first = upstream(stage).stream(chunk("a"))
    socket.take()
    socket.send({"type": "cancel"})
    assert first.closed
    assert socket.take() == [{"type": "cancelled"}]
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (499, "client_gone")
    upstream(stage).stream(chunk("b"), LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["text_stream", "complete"]
    assert len(stage.settled) == 2


def test_cancel_closes_a_bare_socket_that_has_nothing_else(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE, {"type": "cancel"})
    assert socket.take() == [{"type": "cancelled"}]
    assert socket.code == 1000


def test_cancel_of_nothing_is_answered_too(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, {"type": "cancel"}, INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["cancelled", "complete"]


# Errors that end an answer and not the socket

WRONG = {
    "no prompt": ({"type": "init", "model": "m"}, "prompt", "missing_field"),
    "a prompt that is no string": (INIT | {"prompt": ["a"]}, "prompt", "invalid_value"),
    "prompt and messages": (INIT | {"messages": []}, "prompt", "invalid_value"),
    "no model": ({"type": "init", "prompt": "a"}, "model", "missing_field"),
    "an unknown model": (INIT | {"model": "nobody"}, "model", "model_not_found"),
    "a range": (INIT | {"temperature": 9}, "temperature", "invalid_value"),
    "stream": (INIT | {"stream": "yes"}, "stream", "invalid_value"),
    "another dialect's": (REQUEST, "type", "unexpected_message"),
    "a bare one": (BARE, "type", "unexpected_message"),
    "an unknown type": (INIT | {"type": "nonsense"}, "type", "unexpected_message"),
    "a type that is no string": (INIT | {"type": 7}, "type", "invalid_value"),
    "auth twice": (AUTH_INIT, None, "unexpected_message"),
    "another key": ({"type": "auth", "access_token": OTHER_KEY}, None, "two_credentials"),
    "auth with nothing": ({"type": "auth"}, "access_token", "missing_field"),
    "auth with two": (AUTH_INIT | {"token": "x"}, "access_token", "two_credentials"),
    "an empty token": ({"type": "auth", "token": " "}, "token", "invalid_value"),
    "a huge token": ({"type": "auth", "token": "x" * 20_000}, "token", "invalid_value"),
    "no JSON": (b"{", None, "invalid_json"),
    "no object": (b"[]", None, "invalid_json"),
    "deep nesting": (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", None, "nested_too_deeply"),
}


@pytest.mark.parametrize(("message", "param", "code"), WRONG.values(), ids=WRONG)
def test_a_wrong_message_is_an_error_and_the_socket_stays(
    stage: Stage, message: Any, param: str | None, code: str
) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, message)
    error = socket.error
    assert (error["param"], error["code"]) == (param, code)
    assert stage.server.connections == []
    socket.send(INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["complete"]


def test_an_error_of_the_upstream_ends_the_answer_only(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT)
    body = b'{"error":{"message":"no","type":"x","param":null,"code":"insufficient_balance"}}'
    stage.server.last.answer(body, status=402)
    assert socket.error["code"] == "insufficient_balance"
    socket.send(INIT)
    server = upstream(stage).stream(chunk("a"))
    socket.take()
    server.close()
    assert socket.error["code"] == "upstream_closed"
    assert socket.code is None


def test_a_bare_socket_is_closed_after_an_error(stage: Stage) -> None:
    socket = SocketClient(stage).send(BARE)
    upstream(stage).close()
    assert socket.error["type"] == "upstream_error"
    assert socket.code == 1000


def test_a_large_answer_that_breaks_off_is_an_error_and_the_socket_stays(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT | {"stream": False})
    whole = completion("x" * 2_000_000)
    stage.server.last.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
    )
    stage.server.last.say(whole[:1_000_000])
    stage.server.last.close()
    assert socket.error["code"] == "upstream_broken"
    assert socket.code is None


def test_more_than_sixteen_waiting_are_refused(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, *[INIT] * 18)
    error = socket.error
    assert (error["type"], error["code"]) == ("rate_limit_error", "socket_queue_full")
    for _ in range(17):
        upstream(stage).stream(LAST, DONE).end_stream()
    assert len(socket.take()) == 17
    assert len(stage.server.requests) == 17


def test_what_waits_is_bounded_in_bytes_too(stage: Stage) -> None:
    large = INIT | {"prompt": "x" * 700_000}
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT, large, large)
    assert socket.error["code"] == "socket_queue_full"
    for _ in range(2):
        upstream(stage).stream(LAST, DONE).end_stream()
    assert len(stage.server.requests) == 2


# Beside sockets, HTTP is as it was


def test_a_request_before_the_upgrade_on_the_same_connection(stage: Stage) -> None:
    wire(stage)
    client = stage.client().ask()
    stage.server.last.answer()
    assert client.answer().status == 200
    before = len(client.bytes)
    client.send(upgrade())
    assert client.bytes[before:].startswith(b"HTTP/1.1 101 ")


def test_an_upgrade_behind_a_request_at_work_is_passed_over(stage: Stage) -> None:
    wire(stage)
    client = stage.client().send(chat() + upgrade())
    stage.server.connections[0].answer()
    assert b" 101 " not in client.bytes
    assert client.bytes.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_messages_that_come_with_the_upgrade_are_read(stage: Stage, size: int) -> None:
    wire(stage)
    ask = Frame(Opcode.TEXT, json.dumps(BARE).encode()).serialize(mask=True)
    stage.client().send(upgrade() + ask, size=size)
    assert stage.server.last.request.json()["messages"][0]["content"] == "hello there"
    upstream(stage).stream(LAST, DONE).end_stream()
