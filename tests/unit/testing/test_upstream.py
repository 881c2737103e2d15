"""The scripted upstream over real sockets: what a client gets, and what the test sees of the client."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from abyssal.testing import Answer, RawConnection, ReceivedRequest, ScriptedUpstream, WireResponse
from abyssal.wire.errors import ProtocolError

CHAT = b'{"model":"m","messages":[{"role":"user","content":"say this"}]}'
STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"say this"}]}'


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def connection(upstream: ScriptedUpstream) -> Iterator[RawConnection]:
    with RawConnection(upstream.url, timeout=5) as open_:
        yield open_


def post(connection: RawConnection, body: bytes = CHAT, path: str = "/v1/chat/completions") -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.send(head.encode() + body)


def ask(connection: RawConnection, body: bytes = CHAT, path: str = "/v1/chat/completions") -> WireResponse:
    post(connection, body, path)
    return connection.read_response()


# Answers


def test_without_a_script_it_echoes(connection: RawConnection) -> None:
    said = ask(connection).json()
    assert said["choices"][0]["message"]["content"] == "say this"
    assert said["model"] == "m"
    assert b'"delta":{"content":" this"}' in ask(connection, STREAM).body
    assert ask(connection, b'{"prompt":"go on"}', "/beta/completions").json()["choices"][0]["text"] == "go on"
    assert ask(connection, b"{}", "/v1/elsewhere").status == 404


def test_the_queue_comes_before_the_default(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    upstream.default = Answer.text("default")
    upstream.enqueue(Answer.text("first"), lambda request: Answer.text(request.path))
    assert upstream.unused_answers == 2
    assert [ask(connection).body for _ in range(3)] == [b"first", b"/v1/chat/completions", b"default"]
    assert upstream.unused_answers == 0


def test_side_paths_do_not_use_up_the_queue(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    upstream.enqueue(Answer.text("scripted"))
    connection.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [model["id"] for model in connection.read_response().json()["data"]] == ["upstream-model"]
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.read_response().status == 200
    assert ask(connection).body == b"scripted"
    assert [request.path for request in upstream.requests] == ["/v1/chat/completions"]
    assert [request.path for request in upstream.side_requests] == ["/v1/models", "/health"]
    upstream.at("/models", Answer.error(500))
    connection.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.read_response().status == 500


def test_what_a_scripted_function_raises_reaches_the_test() -> None:
    def broken(request: ReceivedRequest) -> Answer:
        raise LookupError(request.path)

    def use() -> None:
        with ScriptedUpstream(default=broken) as upstream, RawConnection(upstream.url) as connection:
            assert ask(connection).status == 500

    with pytest.raises(ExceptionGroup) as caught:
        use()
    assert [repr(error) for error in caught.value.exceptions] == ["LookupError('/v1/chat/completions')"]


def test_an_answer_that_cannot_be_encoded_reaches_the_test() -> None:
    def use() -> None:
        answer = Answer.text("").with_headers({"x": "漢"})
        with ScriptedUpstream(default=answer) as upstream, RawConnection(upstream.url) as connection:
            post(connection)
            assert connection.closed_by_server()

    with pytest.raises(ExceptionGroup) as caught:
        use()
    assert isinstance(caught.value.exceptions[0], UnicodeEncodeError)


# Requests


def test_a_request_is_kept_as_it_came(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    head = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-twice: 2\r\n"
    connection.send(head + b"Authorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}")
    connection.read_response()
    (request,) = upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.target == "/v1/chat/completions?a=b"
    assert request.headers[:3] == [("Host", "x"), ("X-Twice", "1"), ("x-twice", "2")]
    assert request.header("AUTHORIZATION") == "Bearer k"
    assert request.header("cookie") is None
    with pytest.raises(ValueError, match="2 times"):
        request.header("x-twice")
    assert (request.body, request.json(), request.connection) == (b"{}", {}, 1)
    assert request.answered.is_set()
    assert not request.closed_by_peer.is_set()


def test_a_chunked_request_in_pieces(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = head + b'5\r\n{"mod\r\n' + b'6;ext=1\r\nel":1}\r\n' + b"0\r\n\r\n"
    assert connection.send_slowly(wire, 7, 0.001)
    assert connection.read_response().status == 200
    assert upstream.requests[0].json() == {"model": 1}


def test_expect_100_continue_is_met(connection: RawConnection) -> None:
    connection.send(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert connection.read_response(interim=True).status == 100
    connection.send(b"{}")
    assert connection.read_response().status == 200


def test_pipelined_requests_are_answered_in_order(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    upstream.enqueue(Answer.text("slow").delayed(0.05), Answer.text("fast"))
    post(connection)
    post(connection)
    assert [connection.read_response().body for _ in range(2)] == [b"slow", b"fast"]


def test_what_is_not_http_is_refused_and_remembered(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    connection.send(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert connection.read_response().status == 400
    assert connection.closed_by_server()
    assert upstream.protocol_errors[0].startswith("connection 1: ")
    assert upstream.requests == []


def test_connections_are_told_apart(upstream: ScriptedUpstream) -> None:
    for _ in range(2):
        with RawConnection(upstream.url) as connection:
            ask(connection)
            ask(connection)
    assert [request.connection for request in upstream.requests] == [1, 1, 2, 2]


def test_only_the_newest_requests_are_kept() -> None:
    with ScriptedUpstream(keep=2) as upstream, RawConnection(upstream.url) as connection:
        for number in range(5):
            ask(connection, str(number).encode())
        assert [request.body for request in upstream.requests] == [b"3", b"4"]
        assert upstream.statistics().requests == 5


# Faults on the wire


def test_a_reset_before_the_head(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    upstream.enqueue(Answer.chat("never").reset(before_head=True))
    post(connection)
    assert connection.closed_by_server()


@pytest.mark.parametrize("where", [{}, {"after_bytes": 50}, {"after_events": 2}])
def test_a_reset_lets_what_was_sent_through_first(upstream: ScriptedUpstream, where: dict[str, int]) -> None:
    upstream.enqueue(Answer.chat_stream(["a", "b", "c"]).reset(**where))
    got: list[bytes] = []

    def read_all() -> None:
        with socket.create_connection(("127.0.0.1", upstream.port), 5) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while data := raw.recv(65536):
                got.append(data)

    with pytest.raises(ConnectionResetError):
        read_all()
    _, _, body = b"".join(got).partition(b"\r\n\r\n")
    assert body.count(b"data: ") == where.get("after_events", body.count(b"data: "))
    assert len(body) == where.get("after_bytes", len(body))
    assert bool(body) == bool(where)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer.chat("whole").closed_early(after_bytes=10), "closed after 10 of"),
        (Answer.chat("whole").with_content_length(9999), "closed after"),
        (Answer.chat_stream(["a"]).with_bad_chunk("bad-size"), "not hexadecimal"),
        (Answer.chat_stream(["a"]).with_bad_chunk("missing-crlf"), "does not end"),
        (Answer.chat_stream(["a"]).closed_early(after_events=1), "the server closed"),
        (Answer.garbage(), "no HTTP status line"),
        (Answer.raw(b""), "the server closed"),
        (Answer.chat("a").with_huge_headers(), "bytes of the answer without"),
    ],
)
def test_a_strict_client_sees_the_fault(
    upstream: ScriptedUpstream, connection: RawConnection, answer: Answer, problem: str
) -> None:
    if problem == "no HTTP status line":
        answer = Answer.raw(b"220 mail.example ready\r\n\r\n")
    upstream.enqueue(answer)
    post(connection)
    with pytest.raises(ProtocolError, match=problem):
        connection.read_response()


def test_interim_responses_are_seen(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    upstream.enqueue(Answer.text("a").preceded_by(100, 103))
    assert ask(connection).interim == (100, 103)


def test_a_body_ended_by_the_close(upstream: ScriptedUpstream, connection: RawConnection) -> None:
    upstream.enqueue(Answer.chat_stream(["a"], framing="close"))
    answer = ask(connection)
    assert answer.until_close
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_silence_goes_on_until_the_client_leaves(upstream: ScriptedUpstream) -> None:
    upstream.enqueue(Answer.silence())
    with RawConnection(upstream.url) as connection:
        post(connection)
        with pytest.raises(TimeoutError):
            connection.read_some(timeout=0.05)
        (request,) = upstream.wait_requests(1)
        assert upstream.statistics().answers_under_way == 1
        assert not request.closed_by_peer.is_set()
        left = time.monotonic()
    assert left <= request.wait_closed(timeout=5) < left + 2
    upstream.wait_until_idle(timeout=5)


# The client's misbehaviour


@pytest.mark.parametrize("leave", [RawConnection.close, RawConnection.reset, RawConnection.end_sending])
def test_a_client_that_leaves_in_a_stream_is_noticed(
    upstream: ScriptedUpstream, leave: Callable[[RawConnection], None]
) -> None:
    upstream.enqueue(Answer.chat_stream(["x"], repeat=10**6, every=0.002))
    connection = RawConnection(upstream.url)
    post(connection)
    connection.read_until(b"data: ")
    leave(connection)
    upstream.requests[0].wait_closed(timeout=5)
    assert not upstream.requests[0].answered.is_set()
    upstream.wait_until_idle(timeout=5)
    connection.close()


def test_a_stream_without_pauses_leaves_room_for_others_and_notices_the_end(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    upstream.enqueue(Answer.chat_stream(["x" * 1000], repeat=10**9))
    post(connection)
    read = sum(len(connection.read_some()) for _ in range(100))
    with RawConnection(upstream.url) as other:
        assert ask(other).status == 200
    connection.close()
    assert upstream.requests[0].wait_closed(timeout=5) > 0
    assert upstream.requests[0].bytes_sent >= read
    upstream.wait_until_idle(timeout=5)


def test_a_client_that_has_the_whole_answer_may_leave(upstream: ScriptedUpstream) -> None:
    with RawConnection(upstream.url) as connection:
        ask(connection)
    upstream.wait_until_idle(timeout=5)
    assert not upstream.requests[0].closed_by_peer.is_set()
    with pytest.raises(TimeoutError, match="not closed by the peer"):
        upstream.requests[0].wait_closed(timeout=0.01)


def test_a_client_that_does_not_read_slows_the_stream(
    upstream: ScriptedUpstream, connection: RawConnection
) -> None:
    upstream.enqueue(Answer.chat_stream(["x" * 1000], repeat=10**6))
    post(connection)
    (request,) = upstream.wait_requests(1)
    # Nothing is produced any more once the sockets' buffers, a few MiB, are full.
    sent = -1
    deadline = time.monotonic() + 5
    while sent != request.bytes_sent and time.monotonic() < deadline:
        sent = request.bytes_sent
        time.sleep(0.1)
    assert 0 < request.bytes_sent == sent < 64 * 1024 * 1024
    connection.read_until(b"data: ")
    while request.bytes_sent == sent and time.monotonic() < deadline:
        connection.read_some()
    assert request.bytes_sent > sent
