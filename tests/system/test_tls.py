"""A platform that speaks TLS: versions, certificates that are replaced while it serves, clients that show one."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.certificates import Authority

from abyssal.testing import Answer, RawConnection, RunningServer, ScriptedUpstream
from abyssal.wire.errors import ProtocolError

from .calls import Gateway, body, chunks, table, text_of, upstream, wait_for
from .cli_process import environment

REFUSED = (OSError, ProtocolError)  # an alert, a reset or an early end, as the event loop has it
READY_WITHIN = 60.0  # seconds
TAKEN_WITHIN = 10.0  # seconds; two looks at the files, one second apart, on a busy machine


class Secured(RunningServer):
    """A server behind TLS, and clients that trust its authority alone; `own` is what a client shows."""

    def __init__(
        self, directory: Path, config: str, *, own: tuple[Path, Path] | None = None, **settings: Any
    ) -> None:
        self.authority = Authority(directory / "authority")
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.replace(*self.authority.issue())
        self.own = own
        files = {"tls_cert": str(self.certificate), "tls_key": str(self.key)}
        super().__init__(table("[server]", **files, **settings) + config, directory / "data")

    def replace(self, certificate: Path, key: Path) -> None:
        os.replace(certificate, self.certificate)
        os.replace(key, self.key)

    @property
    def url(self) -> str:
        return json.loads((self.data / "node.json").read_bytes())["url"]

    def wait_ready(self, timeout: float) -> None:
        """As its parent does it over plain HTTP."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            with suppress(OSError), self.connect() as connection:
                return get(connection, "/readyz") == 200
            return False

        wait_for(ready, "a ready server", timeout)

    def client(
        self, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED, *, anonymous: bool = False
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.maximum_version = newest
        if self.own is not None and not anonymous:
            context.load_cert_chain(*self.own)
        return context

    def connect(self, client: ssl.SSLContext | None = None) -> RawConnection:
        return RawConnection(self.url, tls=client or self.client())

    def session(self, client: ssl.SSLContext | None = None) -> tuple[str | None, str]:
        """The version that a handshake agrees on, and the serial number of the certificate shown."""
        target = urlsplit(self.url)
        with (
            socket.create_connection((target.hostname, target.port), 10) as raw,
            (client or self.client()).wrap_socket(raw, server_hostname=target.hostname) as connection,
        ):
            return connection.version(), str((connection.getpeercert() or {})["serialNumber"])

    def replaced(self) -> Callable[[], bool]:
        """Put a new certificate in place; gives whether new handshakes use it by now."""
        before = self.session()[1]
        self.replace(*self.authority.issue())
        return lambda: self.session()[1] != before


class SecuredGateway(Gateway):
    """`Gateway`, whose connections trust the server's authority."""

    server: Secured

    def connect(self, timeout: float = 10.0) -> RawConnection:
        return RawConnection(self.server.url, timeout=timeout, tls=self.server.client())


def get(connection: RawConnection, path: str) -> int:
    connection.send(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
    return connection.read_response().status


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, scripted: ScriptedUpstream) -> Iterator[SecuredGateway]:
    with Secured(tmp_path_factory.mktemp("tls"), upstream("open", scripted.base_url)) as server:
        yield SecuredGateway(server, scripted)


# What it speaks


def test_its_address_says_so(gateway: SecuredGateway) -> None:
    assert gateway.server.url.startswith("https://127.0.0.1:")
    assert f"abyssal listens on {gateway.server.url}" in gateway.server.log()


def test_tls_1_3_alone(gateway: SecuredGateway) -> None:
    server = gateway.server
    assert server.session()[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLError) as refused:
        server.session(server.client(ssl.TLSVersion.TLSv1_2))
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_calls_and_streams(gateway: SecuredGateway) -> None:
    answer = gateway.ask(body("open", "hello"))
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    large = "x" * 2_000_000
    assert gateway.ask(body("open", large)).json()["choices"][0]["message"]["content"] == large
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b", "c"], every=0.05))
    assert text_of(chunks(gateway.ask(body("open", stream=True)).body)) == "abc"


def test_a_stream_comes_as_it_is_written(gateway: SecuredGateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["first", "last"], every=1.0))
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open", stream=True)))
        connection.read_until(b"first")
        begun = time.monotonic()
        connection.read_until(b"last")
        assert time.monotonic() - begun > 0.5


def test_many_calls_on_one_connection(gateway: SecuredGateway) -> None:
    with gateway.connect() as connection:
        for number in range(20):
            connection.send(gateway.request(body("open", str(number))))
            answer = connection.read_response()
            assert answer.json()["choices"][0]["message"]["content"] == str(number)


def test_a_client_that_leaves_closes_its_upstream(gateway: SecuredGateway) -> None:
    seen = len(gateway.upstream.requests)
    gateway.upstream.enqueue(Answer.silence())
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open", stream=True)))
        request = gateway.upstream.wait_requests(seen + 1)[-1]
    assert request.wait_closed(2.0)


@pytest.mark.parametrize(
    "sent", [b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n", b"\x16\x03\x01\x00\x05hello", os.urandom(500)]
)
def test_what_is_no_handshake_is_shown_nothing(gateway: SecuredGateway, sent: bytes) -> None:
    with RawConnection(gateway.server.url.replace("https", "http")) as connection:
        connection.send_anyway(sent)
        assert b"HTTP/" not in connection.read_all()
    assert gateway.get("/healthz").status == 200
    assert "Traceback" not in gateway.server.log()


def test_a_client_that_begins_no_handshake_is_not_waited_for_for_ever(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    with Secured(tmp_path, upstream("open", scripted.base_url), header_timeout=1.0) as server:
        with RawConnection(server.url.replace("https", "http")) as connection:
            assert connection.closed_by_server(10.0)
        # One that shakes hands and then says nothing is not either.
        with server.connect() as connection:
            assert connection.closed_by_server(10.0)


# What is replaced while it serves


def test_a_replaced_certificate_is_used_and_open_connections_go_on(gateway: SecuredGateway) -> None:
    server = gateway.server
    gateway.upstream.enqueue(Answer.chat_stream(["a"] * 20, every=0.2))
    with server.connect() as idle, gateway.connect() as streaming, ThreadPoolExecutor(1) as pool:
        assert get(idle, "/healthz") == 200
        streaming.send(gateway.request(body("open", stream=True)))
        whole = pool.submit(streaming.read_response)
        wait_for(server.replaced(), "handshake with the new certificate", TAKEN_WITHIN)
        assert get(idle, "/healthz") == 200
        assert not whole.done(), "the stream was to be under way"
        assert text_of(chunks(whole.result().body)) == "a" * 20


def test_a_broken_replacement_is_logged_once_and_changes_nothing(gateway: SecuredGateway) -> None:
    server = gateway.server
    serial, good = server.session()[1], server.key.read_bytes()
    server.key.write_text("no key")
    wait_for(lambda: "cannot be used" in server.log(), "word of it", TAKEN_WITHIN)
    assert server.session()[1] == serial
    server.key.write_bytes(good)
    wait_for(server.replaced(), "handshake with the certificate after it", TAKEN_WITHIN)
    lines = [line for line in server.log().splitlines() if "cannot be used" in line]
    assert len(lines) == 1
    assert str(server.key) in lines[0]


# What can be set


def test_tls_1_2_where_it_is_allowed(tmp_path: Path, scripted: ScriptedUpstream) -> None:
    with Secured(tmp_path, upstream("open", scripted.base_url), tls_min="1.2") as server:
        assert server.session()[0] == "TLSv1.3"
        assert server.session(server.client(ssl.TLSVersion.TLSv1_2))[0] == "TLSv1.2"
        old = SecuredGateway(server, scripted)
        with RawConnection(server.url, tls=server.client(ssl.TLSVersion.TLSv1_2)) as connection:
            connection.send(old.request(body("open", "hello")))
            assert connection.read_response().status == 200


def test_clients_without_a_certificate_of_their_authority(tmp_path: Path, scripted: ScriptedUpstream) -> None:
    clients, strangers = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    server = Secured(
        tmp_path,
        upstream("open", scripted.base_url),
        own=clients.issue("client.example"),
        tls_client_ca=str(clients.certificate),
    )
    with server:
        assert SecuredGateway(server, scripted).ask(body("open", "hello")).status == 200
        stranger = server.client(anonymous=True)
        stranger.load_cert_chain(*strangers.issue("client.example"))
        for client, alert in (
            (server.client(anonymous=True), "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            (stranger, "TLSV1_ALERT_UNKNOWN_CA"),
        ):
            # A TLS 1.3 client is done before the server has seen its certificate: it learns when it reads.
            with pytest.raises(ssl.SSLError) as refused, server.connect(client) as connection:
                connection.read_some()
            assert refused.value.reason == alert
            with pytest.raises(REFUSED), server.connect(client) as connection:
                get(connection, "/healthz")
        os.replace(strangers.certificate, clients.certificate)

        def theirs() -> bool:
            with suppress(*REFUSED), server.connect(stranger) as connection:
                return get(connection, "/healthz") == 200
            return False

        wait_for(theirs, "call under the new authority", TAKEN_WITHIN)
        with pytest.raises(REFUSED), server.connect() as connection:
            get(connection, "/healthz")


# What is refused before anything starts


def refusal(directory: Path, *arguments: str) -> str:
    """What `abyssal serve` says before exit status 2, in one sentence."""
    command = [sys.executable, "-m", "abyssal", "serve", "--data", str(directory / "data"), *arguments]
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (directory / "data").exists()
    return done.stderr


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"])
def test_plain_http_for_others_is_refused(tmp_path: Path, listen: str) -> None:
    said = refusal(tmp_path, "--listen", listen)
    assert listen in said
    assert "--tls-cert" in said
    assert "--allow-plaintext" in said


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path / "authority").issue()
    assert "server.tls_key" in refusal(tmp_path, "--tls-cert", str(certificate))
    assert "server.tls_cert" in refusal(tmp_path, "--tls-key", str(key))


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    (certificate, key), (_, other) = authority.issue(), authority.issue()
    missing = str(tmp_path / "missing.pem")
    assert missing in refusal(tmp_path, "--tls-cert", missing, "--tls-key", str(key))
    assert "not the key" in refusal(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(other))


def test_plain_http_for_others_where_the_operator_says_so(tmp_path: Path, scripted: ScriptedUpstream) -> None:
    config = table("[server]", allow_plaintext=False) + upstream("open", scripted.base_url)
    arguments = ["--listen", "0.0.0.0:0", "--allow-plaintext"]
    with RunningServer(config, tmp_path / "data", arguments=arguments) as server:
        assert server.url.startswith("http://0.0.0.0:")


def test_a_certificate_on_the_command_line(tmp_path: Path, scripted: ScriptedUpstream) -> None:
    server = Secured(tmp_path, upstream("open", scripted.base_url))
    plain = RunningServer(upstream("open", scripted.base_url), tmp_path / "data",
                          arguments=["--tls-cert", str(server.certificate), "--tls-key", str(server.key)])  # fmt: skip
    plain.launch()
    server.process = plain.process
    try:
        server.wait_ready(READY_WITHIN)
        assert server.session()[0] == "TLSv1.3"
    finally:
        assert plain.stop() == 0
