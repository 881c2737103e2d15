"""WebSockets through a running gateway, spoken by the `websockets` and `aiohttp` clients as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, gateway_config

from .calls import Gateway, usage_rows

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ASK: dict[str, Any] = {"model": "open", "prompt": "hi"}


def address(server: RunningServer, path: str = "/v1/stream") -> str:
    return server.url.replace("http", "ws", 1) + path


def bearer(gateway: Gateway) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.server.api_key}"}


def say(socket: ClientConnection, *messages: Any) -> None:
    for message in messages:
        socket.send(json.dumps(message))


def hear(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=10))


def answered(socket: ClientConnection, last: str) -> list[Any]:
    """The messages up to the one of the type `last`."""
    heard = [hear(socket)]
    while heard[-1]["type"] != last:
        heard.append(hear(socket))
    return heard


@pytest.mark.parametrize(
    ("auth", "ask", "piece", "last"),
    [("access_token", "init", "text_stream", "complete"), ("token", "request", "response", "done")],
)
def test_several_requests_on_a_socket(gateway: Gateway, auth: str, ask: str, piece: str, last: str) -> None:
    with connect(address(gateway.server)) as socket:
        assert socket.protocol.extensions == []
        say(socket, {"type": "auth", auth: gateway.server.api_key})
        for text in ("one", "two", "three"):
            gateway.upstream.enqueue(Answer.chat_stream([text, "!"], usage=USAGE))
            say(socket, ASK | {"type": ask})
            *pieces, end = answered(socket, last)
            assert [part["type"] for part in pieces] == [piece, piece]
            assert "".join(part["content"] for part in pieces) == f"{text}!"
            assert end["usage"] == USAGE
            row = gateway.settled(end["request_id"])
            assert (row["status"], row["stream"], row["completion_tokens"]) == (200, 1, 4)


def test_a_bare_client_that_iterates_until_the_end_stops(gateway: Gateway) -> None:
    async def ask() -> tuple[list[Any], int | None]:
        async with connect_async(address(gateway.server), additional_headers=bearer(gateway)) as socket:
            await socket.send(json.dumps(ASK | {"stream": True}))
            heard = [json.loads(message) async for message in socket]
            return heard, socket.close_code

    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], usage=USAGE))
    heard, code = asyncio.run(ask())
    assert [message["content"] for message in heard] == ["a", "b", ""]
    assert (heard[-1]["finish_reason"], heard[-1]["usage"], code) == ("stop", USAGE, 1000)


def test_a_message_arrives_before_the_next_is_sent(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["one", "two", "three"], every=0.2))
    with connect(address(gateway.server), additional_headers=bearer(gateway)) as socket:
        say(socket, ASK)
        for piece in ("one", "two", "three"):
            assert hear(socket)["content"] == piece
            assert not gateway.upstream.requests[-1].answered.is_set()
        assert hear(socket)["finish_reason"] == "stop"


def test_cancel_stops_the_upstream(gateway: Gateway) -> None:
    with connect(address(gateway.server)) as socket:
        gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.05))
        say(socket, {"type": "auth", "access_token": gateway.server.api_key}, ASK | {"type": "init"})
        assert hear(socket)["content"] == "x"
        say(socket, {"type": "cancel"})
        answered(socket, "cancelled")
        request = gateway.upstream.requests[-1]
        assert request.closed_by_peer.wait(5)
        gateway.upstream.enqueue(Answer.chat_stream(["y"]))
        say(socket, ASK | {"type": "init"})
        assert [message["content"] for message in answered(socket, "complete")[:-1]] == ["y"]
        row = gateway.settled(request.header("x-request-id") or "")
        assert (row["status"], row["code"]) == (499, "client_gone")


def test_a_client_that_goes_stops_the_upstream(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.05))
    with connect(address(gateway.server), additional_headers=bearer(gateway)) as socket:
        say(socket, ASK)
        hear(socket)
    request = gateway.upstream.requests[-1]
    assert request.closed_by_peer.wait(5)
    assert gateway.settled(request.header("x-request-id") or "")["status"] == 499


@pytest.mark.parametrize("where", ["headers", "message", "nowhere"])
def test_nobody(gateway: Gateway, where: str) -> None:
    headers = {"Authorization": "Bearer sk-nobody"} if where == "headers" else {}
    with connect(address(gateway.server), additional_headers=headers) as socket:
        if where == "message":
            say(socket, {"type": "auth", "access_token": "sk-nobody"})
        elif where == "nowhere":
            say(socket, ASK)
        assert hear(socket)["error"]["type"] == "authentication_error"
        with pytest.raises(ConnectionClosedError) as caught:
            socket.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401


def test_a_large_message_and_one_that_is_too_large(gateway: Gateway) -> None:
    with connect(address(gateway.server), additional_headers=bearer(gateway), max_size=None) as socket:
        say(socket, ASK | {"type": "init", "prompt": "x" * 1_000_000, "stream": False})
        assert hear(socket)["content"] == "x" * 1_000_000
        hear(socket)
        with suppress(ConnectionClosedError):  # it may be told before it has sent all of it
            say(socket, ASK | {"type": "init", "prompt": "x" * 2_000_000})
        with pytest.raises(ConnectionClosedError) as caught:
            socket.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_many_sockets_at_once(gateway: Gateway) -> None:
    async def one(number: int) -> str:
        async with connect_async(address(gateway.server), additional_headers=bearer(gateway)) as socket:
            await socket.send(json.dumps(ASK | {"prompt": f"number {number}", "stream": False}))
            return "".join([json.loads(message)["content"] async for message in socket])

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, range(100)))

    assert asyncio.run(all_of_them()) == [f"number {number}" for number in range(100)]


def test_a_plain_request_is_told_to_upgrade(gateway: Gateway) -> None:
    answer = gateway.get("/v1/stream")
    assert answer.status == 426
    assert answer.header("upgrade") == "websocket"


def test_aiohttp(gateway: Gateway) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def ask() -> tuple[list[Any], int | None]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(gateway.server), compress=15) as socket,
        ):
            await socket.send_json({"type": "auth", "token": f"Bearer {gateway.server.api_key}"})
            await socket.send_json(ASK | {"type": "request"})
            heard = [await socket.receive_json(timeout=10)]
            while heard[-1]["type"] != "done":
                heard.append(await socket.receive_json(timeout=10))
            await socket.close()
            return heard, socket.close_code

    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], usage=USAGE))
    heard, code = asyncio.run(ask())
    assert [message.get("content") for message in heard] == ["a", "b", None]
    assert (heard[-1]["usage"], code) == (USAGE, 1000)


# A server of its own


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


def test_a_server_that_stops_finishes_its_answers(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with RunningServer(gateway_config(upstream, models=("open",)), tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        with (
            connect(address(server), additional_headers=headers) as idle,
            connect(address(server), additional_headers=headers) as working,
        ):
            upstream.enqueue(Answer.chat_stream(["x"] * 10, every=0.1, usage=USAGE))
            say(working, ASK | {"type": "init"})
            assert hear(working)["content"] == "x"
            assert server.process is not None
            server.process.terminate()
            assert len(answered(working, "complete")) == 10
            for socket in (idle, working):
                with pytest.raises(ConnectionClosedOK) as caught:
                    socket.recv(timeout=10)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001
        assert server.stop() == 0
    rows = usage_rows(tmp_path)
    assert [row["status"] for row in rows.values()] == [200]
