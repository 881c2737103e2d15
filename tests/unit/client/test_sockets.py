"""`client.stream()`, blocking and asyncio, against a WebSocket server that says what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection

from abyssal import (
    ApiTimeoutError,
    AuthenticationError,
    ChatCompletion,
    ConfigurationError,
    OpenAICompatibilityError,
    RateLimitError,
    StreamInterruptedError,
    UnavailableError,
)

from .face import KEY, Face, opened_face
from .socket_server import SocketServer, last, open_stream, piece, problem, socket_server

HELLO = [piece("Hel"), piece("lo"), last()]


@pytest.fixture(params=["sync-direct", "async-direct"])
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def face(sockets: SocketServer, way: str) -> Iterator[Face]:
    with opened_face(way, sockets.url) as face:
        yield face


def texts(face: Face, opened: Any) -> list[str]:
    async def all_of_them() -> list[str]:
        return [str(one) async for one in opened]

    return [str(one) for one in opened] if face.kind == "sync" else face.run(all_of_them())


def reply(face: Face, opened: Any) -> Any:
    return face.run(opened.reply())


def test_pieces_as_they_come(sockets: SocketServer, face: Face) -> None:
    sockets.will([piece("", reasoning_content="Hm."), *HELLO])
    opened = open_stream(face, model="m", temperature=0.5)
    first = face.next(opened)
    assert (first.content, first.reasoning) == ("", "Hm.")  # type: ignore[attr-defined]
    assert texts(face, opened) == ["Hel", "lo"]
    whole = reply(face, opened)
    assert (whole.content, whole.reasoning, whole.usage.total_tokens) == ("Hello", "Hm.", 5)
    assert type(whole.response) is ChatCompletion
    assert (whole.response.model, whole.response.choices[0].finish_reason) == ("m", "stop")
    assert whole.response.request_id == opened.request_id == "r-1"
    assert sockets.requests == [{"type": "request", "prompt": "Hi", "model": "m", "temperature": 0.5}]
    upgrade = sockets.upgrades[0]
    assert upgrade.path == "/v1/stream"
    assert upgrade.headers["authorization"] == f"Bearer {KEY}"
    assert upgrade.headers["user-agent"].startswith("abyssal/")


def test_one_socket_for_many_requests(sockets: SocketServer, face: Face) -> None:
    sockets.will(HELLO)
    for _ in range(3):
        assert texts(face, open_stream(face, model="m")) == ["Hel", "lo"]
    assert len(sockets.upgrades) == 1
    assert len(sockets.requests) == 3


def test_two_at_once_have_a_socket_each(sockets: SocketServer, face: Face) -> None:
    sockets.will(HELLO)
    one, other = open_stream(face, model="m"), open_stream(face, model="m")
    assert texts(face, one) == texts(face, other) == ["Hel", "lo"]
    open_stream(face, model="m")
    assert len(sockets.upgrades) == 2


def test_messages_in_place_of_a_prompt_and_no_model(sockets: SocketServer, face: Face) -> None:
    sockets.will(HELLO)
    said = [{"role": "user", "content": "Hi"}]
    assert reply(face, open_stream(face, None, messages=said)).content == "Hello"
    assert sockets.requests == [{"type": "request", "messages": said}]
    assert sockets.upgrades[0].path == "/v1/chat/stream"


def test_extra_headers_have_a_socket_of_their_own(sockets: SocketServer, face: Face) -> None:
    sockets.will(HELLO)
    reply(face, open_stream(face, model="m"))
    reply(face, open_stream(face, model="m", extra_headers={"x-team": "blue"}))
    assert [upgrade.headers.get("x-team") for upgrade in sockets.upgrades] == [None, "blue"]


def test_tool_calls_are_put_together(sockets: SocketServer, face: Face) -> None:
    call = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ":1}"}}
    sockets.will(
        [piece("", tool_calls=[call]), piece("", tool_calls=[rest]), last(finish_reason="tool_calls")]
    )
    whole = reply(face, open_stream(face, model="m"))
    (made,) = whole.response.choices[0].message.tool_calls
    assert (made.id, made.function.name, made.function.arguments) == ("call_0", "f", '{"a":1}')


@pytest.mark.parametrize(
    "said",
    [
        [{"type": "text_stream", "content": "Hello"}, {"type": "complete", "usage": None}],
        [{"content": "Hello"}, {"content": "", "finish_reason": "stop", "usage": None}],
        [{"type": "news", "content": "no"}, piece("Hello"), {"type": "cancelled"}, last()],
    ],
)
def test_the_other_dialects_and_what_is_not_known(sockets: SocketServer, said: list[Any]) -> None:
    sockets.will(said)
    with opened_face("sync-direct", sockets.url) as face:
        assert face.client.stream("Hi", model="m").reply().content == "Hello"


def test_a_message_in_fragments(sockets: SocketServer, face: Face) -> None:
    def said(connection: ServerConnection) -> None:
        connection.send(['{"type":"resp', 'onse","content":"', "深", '海"}'])
        connection.send(iter(['{"type":', '"done"}']))

    sockets.will(said)
    assert reply(face, open_stream(face, model="m")).content == "深海"


# Errors


def test_an_error_in_place_of_an_answer(sockets: SocketServer, face: Face) -> None:
    sockets.will([problem("no such model", code="model_not_found", type="invalid_request_error")])
    with pytest.raises(Exception, match="no such model") as caught:
        open_stream(face, model="m")
    assert caught.value.request_id == "r-9"  # type: ignore[attr-defined]
    sockets.will(HELLO)
    assert reply(face, open_stream(face, model="m")).content == "Hello"


def test_what_may_help_is_tried_again(sockets: SocketServer, face: Face) -> None:
    busy = problem("busy", code="rate_limit_exceeded") | {"retry_after": 7}
    sockets.will([busy], [problem("down", code="unavailable")], HELLO)
    assert reply(face, open_stream(face, model="m")).content == "Hello"
    assert face.sleeps == [7, 1.0]


def test_at_most_as_often_as_was_said(sockets: SocketServer, face: Face) -> None:
    sockets.will([problem("busy", code="rate_limit_exceeded")])
    with pytest.raises(RateLimitError, match="busy"):
        open_stream(face, model="m")
    assert len(sockets.requests) == 3


def test_an_error_in_the_middle_ends_the_answer(sockets: SocketServer, face: Face) -> None:
    sockets.will([piece("Hel"), problem("down", code="unavailable"), piece("lo"), last()])
    opened = open_stream(face, model="m")
    assert face.next(opened).content == "Hel"  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(UnavailableError, match="down"):
            face.next(opened)
    with pytest.raises(UnavailableError):
        reply(face, opened)
    assert opened.completion_so_far().choices[0].message.content == "Hel"


def test_a_credential_that_is_refused(sockets: SocketServer, face: Face) -> None:
    def refuse(connection: ServerConnection) -> None:
        connection.send('{"type":"error","error":{"message":"who?","type":"authentication_error"}}')
        connection.close(4401, "see the error message")

    sockets.will(refuse)
    with pytest.raises(AuthenticationError, match=r"who\?"):
        open_stream(face, model="m")
    assert len(sockets.requests) == 1


def test_a_cut_before_the_first_message_is_tried_again(sockets: SocketServer, face: Face) -> None:
    sockets.will(lambda connection: connection.close(1001), cut, HELLO)
    assert reply(face, open_stream(face, model="m")).content == "Hello"
    assert len(face.sleeps) == 2


def cut(connection: ServerConnection) -> None:
    connection.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("closing", [cut, lambda connection: connection.close(1011, "oh")])
def test_a_cut_in_the_middle(sockets: SocketServer, face: Face, closing: Any) -> None:
    def begin(connection: ServerConnection) -> None:
        connection.send('{"type":"response","content":"Hel"}')
        closing(connection)

    sockets.will(begin)
    opened = open_stream(face, model="m")
    assert face.next(opened).content == "Hel"  # type: ignore[attr-defined]
    with pytest.raises(StreamInterruptedError, match="closed"):
        face.next(opened)
    with pytest.raises(StreamInterruptedError):
        reply(face, opened)
    assert opened.completion_so_far().choices[0].message.content == "Hel"
    assert len(sockets.requests) == 1


@pytest.mark.parametrize("said", ["[1]", "nonsense", '{"content":3}', '{"type":7}', b"\xff"])
def test_what_is_no_message_of_an_answer(sockets: SocketServer, said: Any) -> None:
    sockets.will([said])
    with opened_face("sync-direct", sockets.url) as face, pytest.raises(OpenAICompatibilityError):
        face.client.stream("Hi", model="m")


def test_silence_is_a_timeout(sockets: SocketServer, way: str) -> None:
    sockets.will([])
    with opened_face(way, sockets.url, max_retries=0) as face:
        with pytest.raises(ApiTimeoutError, match="sent nothing for"):
            open_stream(face, model="m", timeout=0.05)
        sockets.will([piece("Hel")])
        opened = open_stream(face, model="m", timeout=0.2)
        face.next(opened)
        with pytest.raises(ApiTimeoutError):
            face.next(opened)


# Closing


def test_closing_early_closes_the_socket(sockets: SocketServer, face: Face) -> None:
    sockets.will([piece("Hel")], HELLO)
    opened = open_stream(face, model="m")
    face.close(opened)
    face.close(opened)
    assert sockets.closed.wait(10)
    assert sockets.closings == [1000]
    assert texts(face, opened) == ["Hel"]  # it had come
    with pytest.raises(StreamInterruptedError, match="it was closed"):
        reply(face, opened)
    assert reply(face, open_stream(face, model="m")).content == "Hello"
    assert len(sockets.upgrades) == 2


def test_a_context_manager_and_a_dropped_stream_close_it_too(sockets: SocketServer) -> None:
    sockets.will([piece("Hel")])
    with opened_face("sync-direct", sockets.url) as face:
        with face.client.stream("Hi", model="m") as opened:
            next(opened)
        assert sockets.closed.wait(10)
        sockets.closed.clear()
        dropped = face.client.stream("Hi", model="m")
        del dropped
        assert sockets.closed.wait(10)
    assert sockets.closings == [1000, 1000]


def test_a_kept_socket_that_was_closed_meanwhile_is_no_matter(sockets: SocketServer, face: Face) -> None:
    def answer_and_go(connection: ServerConnection) -> None:
        for said in ('{"type":"response","content":"Hello"}', '{"type":"done"}'):
            connection.send(said)
        connection.close(1000)

    sockets.will(answer_and_go)
    for _ in range(2):
        assert reply(face, open_stream(face, model="m")).content == "Hello"
        assert sockets.closed.wait(10)
        sockets.closed.clear()
        if face.kind == "async":
            face.run(asyncio.sleep(0.01))  # in which the loop hears of it
    assert (len(sockets.upgrades), face.sleeps) == (2, [])


def test_closing_the_client_closes_what_it_kept(sockets: SocketServer, way: str) -> None:
    sockets.will(HELLO)
    with opened_face(way, sockets.url) as face:
        reply(face, open_stream(face, model="m"))
        assert sockets.closings == []
        face.close(face.client)
        assert sockets.closed.wait(10)
        assert sockets.closings == [1000]
        with pytest.raises(ConfigurationError, match="closed"):
            open_stream(face, model="m")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_leaves_its_parent_s_sockets_alone(sockets: SocketServer) -> None:
    sockets.will(HELLO)
    with opened_face("sync-direct", sockets.url) as face:
        assert face.client.stream("Hi", model="m").reply().content == "Hello"
        child = os.fork()
        if child == 0:
            try:
                assert face.client.stream("Hi", model="m").reply().content == "Hello"
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert face.client.stream("Hi", model="m").reply().content == "Hello"
    assert len(sockets.upgrades) == 2


def test_pings_are_answered_while_reading_and_on_kept_sockets(sockets: SocketServer, face: Face) -> None:
    answered: list[bool] = []

    def ping_first(connection: ServerConnection) -> None:
        pong = connection.ping()
        answered.append(pong.wait(10))
        for said in ('{"type":"response","content":"Hello"}', '{"type":"done"}'):
            connection.send(said)
        with contextlib.suppress(Exception):
            connection.ping()

    sockets.will(ping_first)
    for _ in range(2):
        assert reply(face, open_stream(face, model="m")).content == "Hello"
    assert (answered, len(sockets.upgrades)) == ([True, True], 1)


# Who asks


def test_a_signed_upgrade(sockets: SocketServer) -> None:
    sockets.will(HELLO)
    proof = {"api_key": None, "key_id": "k-1", "secret": "s-1"}
    with opened_face("sync-direct", sockets.url, **proof) as face:
        assert face.client.stream("Hi", model="m").reply().content == "Hello"
    headers = sockets.upgrades[0].headers
    assert headers["x-api-key"] == "k-1"
    assert headers["x-api-signature"]
    assert "s-1" not in str(headers)


def test_an_old_token_is_renewed(sockets: SocketServer) -> None:
    def token(connection: Any, request: Any) -> Response | None:
        if request.headers.get("authorization") != "Bearer one":
            return None
        body = b'{"error":{"message":"expired","type":"authentication_error"}}'
        return Response(401, "Unauthorized", Headers({"content-length": str(len(body))}), body)

    sockets.refuse = token
    sockets.will(HELLO)
    tokens = iter(["one", "two"])
    proof = {"api_key": None, "client_id": "c", "client_secret": "s"}
    with opened_face("sync-direct", sockets.url, **proof) as face:
        transport = face.client._caller._transport

        def fetch(request: Any) -> Any:
            from abyssal.client.answer import Answer

            body = f'{{"access_token":"{next(tokens)}","token_type":"Bearer","expires_in":3600}}'
            return Answer(200, {}, body.encode())

        transport.send = fetch
        assert face.client.stream("Hi", model="m").reply().content == "Hello"
    assert [one.headers["authorization"] for one in sockets.upgrades] == ["Bearer one", "Bearer two"]


def test_over_tls(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(here / "localhost.pem", here / "localhost.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(here / "localhost.pem"))
    with socket_server(ssl=context) as server:
        server.will(HELLO)
        with opened_face(way, server.url.replace("http", "https", 1)) as face:
            for _ in range(2):
                assert reply(face, open_stream(face, model="m")).content == "Hello"
    assert len(server.upgrades) == 1
