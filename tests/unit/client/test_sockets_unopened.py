"""`client.stream()` where no socket comes to be: upgrades that fail, arguments that do not fit."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from abyssal import (
    ApiConnectionError,
    AuthenticationError,
    ConfigurationError,
    ProtocolError,
    UnavailableError,
)

from .face import opened_face
from .raw_server import RawServer, answer, error_body
from .socket_server import SocketServer, open_stream
from .test_import import run


@pytest.fixture(params=["sync-direct", "async-direct"])
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (503, UnavailableError)])
def test_an_upgrade_that_is_refused(server: RawServer, way: str, status: int, kind: type) -> None:
    server.will(answer(error_body("not you"), status, x_request_id="r-3"))
    with opened_face(way, server.url) as face, pytest.raises(kind, match="not you") as caught:
        open_stream(face, model="m")
    assert caught.value.request_id == "r-3"
    assert len(server.requests) == (1 if status == 401 else 3)


@pytest.mark.parametrize("reply", [answer({}), b"HTTP/1.1 204 No\r\n\r\n", b"nonsense\r\n\r\n"])
def test_a_server_that_speaks_no_websocket(server: RawServer, way: str, reply: bytes) -> None:
    def said(peer: Any) -> None:
        peer.send(reply)
        peer.close()

    server.will(said)
    with opened_face(way, server.url) as face, pytest.raises(ProtocolError, match="opens no WebSocket"):
        open_stream(face, model="m")


def test_a_server_that_hangs_up_before_the_upgrade(server: RawServer, way: str) -> None:
    server.will(lambda peer: peer.close())
    with opened_face(way, server.url) as face:
        with pytest.raises(ApiConnectionError, match="before it answered"):
            open_stream(face, model="m")
        assert len(face.sleeps) == 2


def test_nobody_there(way: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with opened_face(way, url) as face, pytest.raises(ApiConnectionError, match="Is it running"):
            open_stream(face, model="m")


# Before anything is sent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a prompt or messages"),
        ({"prompt": "a", "messages": []}, "not both"),
        ({"prompt": "a", "modle": "m"}, "did you mean model?"),
        ({"prompt": "a", "stream": True}, "no argument 'stream'"),
    ],
)
def test_arguments_that_do_not_fit(sockets: SocketServer, arguments: Any, words: str) -> None:
    with opened_face("sync-direct", sockets.url) as face, pytest.raises(TypeError) as caught:
        face.client.stream(**arguments)
    assert words in str(caught.value)
    assert sockets.upgrades == []


def test_what_has_no_json_form(sockets: SocketServer) -> None:
    with opened_face("sync-direct", sockets.url) as face, pytest.raises(ConfigurationError, match="user"):
        face.client.stream("Hi", user=object())


def test_without_the_library_it_says_what_to_type() -> None:
    code = """
import sys
sys.modules["websockets"] = None
from abyssal import ConfigurationError, DeepSeekClient
try:
    DeepSeekClient("sk-x", base_url="http://127.0.0.1:1").stream("Hi")
except ConfigurationError as error:
    print(error)
"""
    assert "pip install websockets" in run(code)


def test_a_client_that_opens_no_socket_does_not_load_the_library() -> None:
    code = """
import sys
from abyssal import DeepSeekClient
DeepSeekClient("sk-x", base_url="http://127.0.0.1:1").close()
print("websockets" in sys.modules)
"""
    assert run(code) == "False"


def test_a_proxy_is_named_when_the_way_is_barred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with (
        opened_face("sync-direct", "http://nowhere.invalid/v1", max_retries=0) as face,
        pytest.raises(ApiConnectionError) as caught,
    ):
        face.client.stream("Hi")
    assert "not over the proxy" in "".join(caught.value.__notes__)
