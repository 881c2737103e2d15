"""Reading responses strictly, and telling how a connection ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from abyssal.testing import Answer, RawConnection, ScriptedUpstream
from abyssal.wire.errors import ProtocolError

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def connection(upstream: ScriptedUpstream) -> Iterator[RawConnection]:
    with RawConnection(upstream.url, timeout=2) as open_:
        yield open_


def serve(upstream: ScriptedUpstream, connection: RawConnection, wire: bytes) -> None:
    upstream.enqueue(Answer.raw(wire))
    connection.send(GET)


def test_a_response_with_a_length(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    serve(
        upstream,
        connection,
        b"HTTP/1.1 201 Made Up\r\nX-A:  b \r\nx-a: c\r\nContent-Length: 3\r\n\r\nabcNEXT",
    )
    answer = connection.read_response()
    assert (answer.status, answer.reason, answer.version) == (201, "Made Up", "1.1")
    assert answer.headers[:2] == (("X-A", "b"), ("x-a", "c"))
    assert answer.header("X-a") == "b, c"
    assert answer.header("x-b") is None
    assert answer.body == b"abc"
    assert connection.read_all() == b"NEXT"


def test_a_chunked_response_with_extensions_and_trailers(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    serve(upstream, connection, head + b"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nNEXT")
    assert connection.read_response().body == b"abc0123456789"
    assert connection.read_all() == b"NEXT"


def test_a_response_until_the_close(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    serve(upstream, connection, b"HTTP/1.0 200 OK\r\n\r\nall of it")
    answer = connection.read_response()
    assert (answer.version, answer.body, answer.until_close) == ("1.0", b"all of it", True)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_a_body(
    upstream: ScriptedUpstream, connection: RawConnection, method: str, status: int
) -> None:
    serve(upstream, connection, b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert connection.read_response(method).body == b""


def test_interim_responses_one_by_one_or_remembered(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    serve(upstream, connection, interim * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert connection.read_response(interim=True).status == 100
    answer = connection.read_response()
    assert (answer.status, answer.interim) == (200, (100, 100))


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        (b"HTTP/2.0 200 OK\r\n\r\n", "no HTTP status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "no HTTP status line"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "is no header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked alone"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "is not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "closed after 3 of 5"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "chunked alone"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "does not end where"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "not hexadecimal"),
        (b"HTTP/1.1 200 OK\r\n", "the server closed"),
    ],
)
def test_what_is_not_http_is_said(
    upstream: ScriptedUpstream, connection: RawConnection, wire: bytes, problem: str
) -> None:
    serve(upstream, connection, wire)
    with pytest.raises(ProtocolError, match=problem):
        connection.read_response()


def test_a_read_as_a_whole_has_one_deadline(upstream: ScriptedUpstream) -> None:
    upstream.enqueue(Answer.text("x" * 100).dripped(1, 0.02))
    with RawConnection(upstream.url, timeout=0.2) as connection:
        connection.send(GET)
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="nothing more came in time"):
            connection.read_response()
        assert 0.1 < time.monotonic() - started < 1.8  # the whole answer takes 2 s


def test_an_open_connection_is_not_closed(connection: RawConnection) -> None:
    assert not connection.closed_by_server(timeout=0.02)


def test_a_connection_with_bytes_still_coming_is_not_closed(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    serve(upstream, connection, b"something")
    assert not connection.closed_by_server()
    assert connection.read_some() == b"something"
    assert connection.closed_by_server()
    assert connection.read_some() == b""


def test_sending_to_a_server_that_has_left(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    serve(upstream, connection, b"bye")
    assert connection.read_all() == b"bye"
    assert not connection.send_slowly(b"x" * 100, 1, 0.001)
    assert not connection.send_anyway(b"x" * 1000)
