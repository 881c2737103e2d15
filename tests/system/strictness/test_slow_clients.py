"""Clients that take their time: closed when it is up, and in nobody's way until then.

The server runs with times of a second, so the cases are short; what they are by default is tested elsewhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import Answer, RawConnection, RunningServer, ScriptedUpstream, gateway_config

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
LIMIT, LATEST = 1.0, 5.0  # seconds: what is set, and what a busy machine may make of it
SETTINGS = {"header_timeout": LIMIT, "body_timeout": LIMIT, "idle_timeout": LIMIT}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = gateway_config(upstream, server=SETTINGS)
    with RunningServer(config, tmp_path_factory.mktemp("slow")) as running:
        yield running


def call(server: RunningServer, headers: str = "Content-Length: 99") -> bytes:
    key = f"Authorization: Bearer {server.api_key}"
    return f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{key}\r\n{headers}\r\n\r\n".encode()


def seconds_until_closed(connection: RawConnection) -> float:
    started = time.monotonic()
    answer = connection.read_all()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer
    return time.monotonic() - started


def test_silence_from_the_start(server: RunningServer) -> None:
    with RawConnection(server.url) as connection:
        assert 0.5 * LIMIT < seconds_until_closed(connection) < LATEST


def test_silence_after_an_answer(server: RunningServer) -> None:
    with RawConnection(server.url) as connection:
        connection.send(GET)
        assert connection.read_response().status == 200
        assert 0.5 * LIMIT < seconds_until_closed(connection) < LATEST


@pytest.mark.parametrize(
    "part", [b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b"]
)
def test_a_head_that_stops(server: RunningServer, part: bytes) -> None:
    with RawConnection(server.url) as connection:
        connection.send(part)
        assert 0.5 * LIMIT < seconds_until_closed(connection) < LATEST


@pytest.mark.parametrize(
    ("opening", "repeated"),
    [(GET[:-2], b"X-A: b\r\n"), (GET[:-2] + b"X-A: ", b"b"), (b"GET /", b"a"), (b"", b"\r\n")],
    ids=["headers", "a header", "a target", "empty lines"],
)
def test_a_head_that_trickles_has_one_deadline(
    server: RunningServer, opening: bytes, repeated: bytes
) -> None:
    with RawConnection(server.url) as connection:
        started = time.monotonic()
        connection.send(opening)
        while time.monotonic() - started < LATEST and connection.send_anyway(repeated):
            with contextlib.suppress(TimeoutError):
                connection.read_some(timeout=0.05)
                break
        assert 0.5 * LIMIT < time.monotonic() - started < LATEST


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ("Content-Length: 99", b""),
        ("Content-Length: 99", b'{"model"'),
        ("Transfer-Encoding: chunked", b"5\r\nab"),
        ("Transfer-Encoding: chunked", b"5\r\nabcde\r\n"),
    ],
)
def test_a_body_that_stalls(server: RunningServer, headers: str, part: bytes) -> None:
    with RawConnection(server.url) as connection:
        connection.send(call(server, headers) + part)
        assert 0.5 * LIMIT < seconds_until_closed(connection) < LATEST


def test_a_body_that_comes_slowly_but_comes_is_answered(server: RunningServer) -> None:
    body = b'{"model":"test-model","messages":[{"role":"user","content":"hi"}]}'
    with RawConnection(server.url) as connection:
        connection.send(call(server, f"Content-Length: {len(body)}"))
        assert connection.send_slowly(body, len(body) // 5, LIMIT / 2)
        assert connection.read_response().status == 200


def test_a_slow_answer_is_no_slow_client(server: RunningServer, upstream: ScriptedUpstream) -> None:
    upstream.enqueue(Answer.chat("late").delayed(2 * LIMIT))
    body = b'{"model":"test-model","messages":[{"role":"user","content":"hi"}]}'
    with RawConnection(server.url) as connection:
        connection.send(call(server, f"Content-Length: {len(body)}") + body)
        assert connection.read_response().status == 200


def test_500_slow_connections_do_not_slow_the_next(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    def median_of_calls(url: str) -> float:
        taken: list[float] = []
        for _ in range(41):
            started = time.perf_counter()
            with RawConnection(url) as connection:
                connection.send(GET)
                assert connection.read_response().status == 200
            taken.append(time.perf_counter() - started)
        return sorted(taken)[20]

    with RunningServer(gateway_config(upstream), tmp_path) as server, contextlib.ExitStack() as open_:
        alone = median_of_calls(server.url)
        for number in range(500):
            slow = open_.enter_context(RawConnection(server.url))
            slow.send((b"", b"GET /healthz HTTP/1.1\r\nHo", call(server) + b"{")[number % 3])
        assert median_of_calls(server.url) < 5 * alone + 0.02
