"""https://, over both transports, against a certificate of our own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal import ApiConnectionError, AsyncDeepSeekClient, ConfigurationError, DeepSeekClient
from abyssal.client.settings import parse_base_url
from abyssal.client.tls import has_trust_store

from .face import ASK, opened_face
from .raw_server import DONE, Peer, RawServer, answer, chunk, completion, stream

HERE = Path(__file__).parent
CERTIFICATE = HERE / "localhost.pem"
DIRECT = ["sync-direct", "async-direct"]


class TlsServer:
    """One TLS connection after another; each request gets a plain answer, or a stream if it wants one."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE, HERE / "localhost.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self.connections += 1
                    peer = Peer(connection)
                    while (request := peer.receive()) is not None:
                        wants_stream = b'"stream":true' in request.body
                        peer.send(stream(chunk("a"), DONE) if wants_stream else answer(completion()))
            except OSError:
                plain.close()


@pytest.fixture
def tls_server() -> Iterator[TlsServer]:
    server = TlsServer()
    yield server
    server.close()


@pytest.mark.parametrize("way", DIRECT)
def test_calls_and_streams(tls_server: TlsServer, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with opened_face(way, tls_server.url) as face:
        for _ in range(3):
            assert face.create().choices[0].message.content == "Hello!"
            assert face.texts(face.open()) == ["a"]
    assert tls_server.connections == 1


def test_an_unknown_certificate_is_refused_once_and_explained(tls_server: TlsServer, way: str) -> None:
    with opened_face(way, tls_server.url) as face:
        with pytest.raises(ConfigurationError, match=r"cannot be trusted.*SSL_CERT_FILE"):
            face.create()
        assert face.sleeps == []


@pytest.mark.parametrize("way", DIRECT)
def test_a_certificate_of_another_name(
    tls_server: TlsServer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with (
        opened_face(way, tls_server.url.replace("127.0.0.1", "127.0.0.2")) as face,
        pytest.raises((ConfigurationError, ApiConnectionError)) as caught,
    ):
        face.create()
    assert "127.0.0.2" in str(caught.value)


def test_tls_to_a_server_that_speaks_none(way: str) -> None:
    def speak_http() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak_http)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with opened_face(way, url, max_retries=0) as face, pytest.raises(ApiConnectionError):
            face.create()
        thread.join(5)


def test_the_way_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def ways(url: str) -> list[str]:
        clients = (DeepSeekClient("sk-x", base_url=url), AsyncDeepSeekClient("sk-x", base_url=url))
        return [type(client._caller._transport).__name__ for client in clients]

    direct, general = (
        ["DirectTransport", "AsyncDirectTransport"],
        ["PyreqwestTransport", "AsyncPyreqwestTransport"],
    )
    assert ways("http://127.0.0.1:8000") == direct
    assert ways("https://api.deepseek.com") == (direct if has_trust_store() else general)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert ways("https://api.deepseek.com") == general
    assert ways("http://10.0.0.1") == direct
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert ways("http://10.0.0.1") == general
    assert ways("https://localhost") == (direct if has_trust_store() else general)
    assert parse_base_url("https://localhost").is_loopback


def test_a_proxy_is_used(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.will(answer(completion()))
    with DeepSeekClient("sk-x", base_url="http://service.invalid/v1") as client:
        assert client.chat.completions.create(**ASK).choices[0].message.content == "Hello!"
    assert server.requests[0].target == "http://service.invalid/v1/chat/completions"
