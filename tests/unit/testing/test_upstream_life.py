"""The scripted upstream's life: counting, refusing, stopping, and the other ways to listen."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from abyssal.testing import Answer, RawConnection, ScriptedUpstream, WireResponse
from abyssal.wire.errors import ProtocolError

HERE = Path(__file__).parent
CALL = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def connection(upstream: ScriptedUpstream) -> Iterator[RawConnection]:
    with RawConnection(upstream.url, timeout=5) as open_:
        yield open_


def post(connection: RawConnection) -> None:
    connection.send(CALL)


def ask(connection: RawConnection) -> WireResponse:
    post(connection)
    return connection.read_response()


def test_counts_of_connections(upstream: ScriptedUpstream) -> None:
    with RawConnection(upstream.url) as one, RawConnection(upstream.url) as two:
        ask(one)
        ask(two)
        seen = upstream.statistics()
        assert (seen.open_connections, seen.accepted_connections, seen.answers_under_way) == (2, 2, 0)
        upstream.wait_until_idle(connections=2)
        with pytest.raises(TimeoutError, match="open_connections=2"):
            upstream.wait_until_idle(timeout=0.01)
    upstream.wait_until_idle()
    assert upstream.statistics().accepted_connections == 2


def test_waiting_for_requests_that_do_not_come(upstream: ScriptedUpstream) -> None:
    with pytest.raises(TimeoutError, match=r"no 1 requests within 0\.01 s"):
        upstream.wait_requests(1, timeout=0.01)


def test_it_can_refuse_and_come_back(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    ask(connection)
    port = upstream.port
    upstream.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        RawConnection(upstream.url)
    assert ask(connection).status == 200  # what is open stays open
    upstream.listen_again()
    assert upstream.port == port
    with RawConnection(upstream.url) as second:
        assert ask(second).status == 200


def test_it_can_drop_every_connection(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    ask(connection)
    upstream.disconnect()
    assert connection.closed_by_server()
    assert upstream.statistics().open_connections == 0


def test_stopping_closes_connections_and_twice_is_harmless() -> None:
    upstream = ScriptedUpstream().start()
    upstream.enqueue(Answer.silence())
    with RawConnection(upstream.url) as connection:
        post(connection)
        upstream.wait_requests(1)
        upstream.stop()
        upstream.stop()
        assert connection.closed_by_server()
    with pytest.raises(ConnectionRefusedError):
        RawConnection(upstream.url)


def test_it_starts_once() -> None:
    with ScriptedUpstream() as upstream, pytest.raises(RuntimeError, match="already running"):
        upstream.start()


def test_a_port_that_is_taken(upstream: ScriptedUpstream) -> None:
    with pytest.raises(OSError, match="address already in use"):
        ScriptedUpstream(port=upstream.port).start()


def test_over_tls() -> None:
    pem, key = HERE / "localhost.pem", HERE / "localhost.key"
    with ScriptedUpstream(certificate=pem, key=key) as upstream:
        assert upstream.base_url == f"https://127.0.0.1:{upstream.port}/v1"
        trusting = ssl.create_default_context(cafile=str(pem))
        with RawConnection(upstream.url, tls=trusting) as connection:
            assert ask(connection).status == 200
            upstream.enqueue(Answer.chat_stream(["a"]).reset(after_events=1))
            post(connection)
            with pytest.raises(ProtocolError):
                connection.read_response()
        with pytest.raises(ssl.SSLCertVerificationError):
            RawConnection(upstream.url, tls=ssl.create_default_context())


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "upstream.sock"
    with (
        ScriptedUpstream(socket_path=path) as upstream,
        RawConnection(upstream.url, socket_path=str(path)) as connection,
    ):
        assert ask(connection).status == 200
        upstream.enqueue(Answer.chat("a").reset(before_head=True))
        post(connection)
        assert connection.closed_by_server()
    assert not path.exists()


def test_it_serves_many_clients_at_once(upstream: ScriptedUpstream) -> None:
    upstream.default = Answer.chat_stream(["x"], every=0.05, repeat=5)
    connections = [RawConnection(upstream.url) for _ in range(50)]
    started = time.monotonic()
    for connection in connections:
        post(connection)
    for connection in connections:
        assert connection.read_response().body.endswith(b"[DONE]\n\n")
        connection.close()
    # One after another they would need 50 times 0.3 s.
    assert time.monotonic() - started < 7.5
    upstream.wait_until_idle()


def test_the_model_list_is_configurable() -> None:
    with ScriptedUpstream(models=("a", "b")) as upstream, RawConnection(upstream.url) as connection:
        connection.send(b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n")
        listed = msgspec.convert(connection.read_response().json(), dict)
        assert [model["id"] for model in listed["data"]] == ["a", "b"]
