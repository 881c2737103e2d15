"""Streams that go on after a cut, over HTTP and over WebSocket, blocking and asyncio; the clock is held."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from abyssal import ApiTimeoutError, NotFoundError, StreamInterruptedError, UnavailableError
from abyssal.client.resuming import Resumption
from abyssal.client.retry import RetryBudget, RetryPolicy

from .face import Face, opened_face
from .raw_server import DONE, Peer, RawServer, answer, chunk, error_body, framed
from .socket_server import SocketServer, last, piece, problem, socket_server

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-7\r\n"
    b"x-abyssal-event-id: s.%d\r\ntransfer-encoding: chunked\r\n\r\n"
)


def event(number: int, text: str, **fields: Any) -> bytes:
    return b"id: s.%d\n" % number + chunk(text, **fields)


def cut(*events: bytes, after: int = 0) -> Callable[[Peer], None]:
    """Says a stream's beginning, then hangs up."""

    def act(peer: Peer) -> None:
        peer.send(HEAD % after + framed(*events, end=False))
        peer.close()

    return act


def rest(*events: bytes, after: int) -> bytes:
    return HEAD % after + framed(*events, DONE)


def texts_of(face: Face, **params: Any) -> list[str | None]:
    return face.texts(face.open(resumable=True, **params))


def test_nothing_is_lost_and_nothing_comes_twice(server: RawServer, face: Face) -> None:
    half = event(3, "c")
    server.will(
        cut(event(1, "a"), event(2, "b"), half[:-9]),
        cut(half, after=2),
        rest(event(4, "d", finish="stop"), after=3),
    )
    opened = face.open(resumable=True)
    assert face.texts(opened) == ["a", "b", "c", "d"]
    assert face.final(opened).choices[0].message.content == "abcd"
    assert opened.request_id == "req-7"
    asked = server.requests
    assert [request.headers.get("last-event-id") for request in asked] == [None, "s.2", "s.3"]
    assert [request.headers.get("x-abyssal-resumable") for request in asked] == ["1", "1", "1"]
    assert [(request.method, request.target) for request in asked] == [("POST", "/v1/chat/completions")] * 3
    assert [request.body == b"" for request in asked] == [False, True, True]
    assert "resumable" not in asked[0].json
    assert face.sleeps == []


def test_a_cut_before_the_first_event(server: RawServer, face: Face) -> None:
    server.will(cut(), rest(event(1, "a", finish="stop"), after=0))
    assert texts_of(face) == ["a"]
    assert server.requests[1].headers["last-event-id"] == "s.0"


def test_an_end_without_a_word_is_a_cut(server: RawServer, face: Face) -> None:
    server.will(HEAD % 0 + framed(event(1, "a")), rest(event(2, "b", finish="stop"), after=1))
    assert texts_of(face) == ["a", "b"]


def test_a_text_completion_goes_on_too(server: RawServer, face: Face) -> None:
    def part(number: int, text: str, finish: str | None = None) -> bytes:
        choice = {"text": text, "index": 0, "finish_reason": finish}
        return b"id: s.%d\ndata: " % number + json.dumps({"choices": [choice]}).encode() + b"\n\n"

    server.will(cut(part(1, "a")), rest(part(2, "b", "stop"), after=1))
    opened = face.run(face.client.completions.create(model="m", prompt="x", stream=True, resumable=True))
    whole: Any = face.final(opened)
    assert whole.text == "ab"
    assert server.requests[1].target == "/v1/completions"


def test_cuts_without_an_event_in_between_are_waited_for_and_counted(server: RawServer, face: Face) -> None:
    server.will(cut(event(1, "a")), cut(after=1))
    opened = face.open(resumable=True)
    assert face.next(opened).choices[0].delta.content == "a"
    with pytest.raises(StreamInterruptedError):
        face.next(opened)
    assert face.sleeps == [0.5, 1.0]
    assert len(server.requests) == 1 + 3
    assert opened.completion_so_far().choices[0].message.content == "a"


def test_what_answers_a_resumption_is_tried_again_where_that_may_help(server: RawServer, face: Face) -> None:
    busy = answer(error_body("busy"), 503, retry_after="3")
    server.will(cut(event(1, "a")), busy, rest(event(2, "b", finish="stop"), after=1))
    assert texts_of(face) == ["a", "b"]
    assert face.sleeps == [3]


def test_a_stream_that_is_gone(server: RawServer, face: Face) -> None:
    server.will(cut(event(1, "a")), answer(error_body("no such stream", code="stream_not_found"), 404))
    opened = face.open(resumable=True)
    face.next(opened)
    with pytest.raises(StreamInterruptedError, match="no such stream") as caught:
        face.next(opened)
    assert isinstance(caught.value.__cause__, NotFoundError)


def test_silence_is_followed_by_asking_again(server: RawServer, way: str) -> None:
    silent = HEAD % 0 + framed(event(1, "a"), end=False)
    server.will(silent, rest(event(2, "b", finish="stop"), after=1))
    with opened_face(way, server.url) as face:
        assert texts_of(face, timeout=0.2) == ["a", "b"]


def test_an_error_that_the_stream_tells_is_its_end(server: RawServer, face: Face) -> None:
    told = b'id: s.2\ndata: {"error":{"message":"down","code":"unavailable"}}\n\n'
    server.will(HEAD % 0 + framed(event(1, "a"), told))
    with pytest.raises(UnavailableError):
        texts_of(face)
    assert len(server.requests) == 1


@pytest.mark.parametrize("params", [{}, {"resumable": False}, {"resumable": None}])
def test_only_what_was_asked_for(server: RawServer, face: Face, params: dict[str, Any]) -> None:
    server.will(cut(event(1, "a")))
    with pytest.raises(StreamInterruptedError):
        face.texts(face.open(**params))
    assert len(server.requests) == 1
    assert "x-abyssal-resumable" not in server.requests[0].headers


def test_a_service_that_tells_no_ids(server: RawServer, face: Face) -> None:
    def act(peer: Peer) -> None:
        peer.send(HEAD.replace(b"x-abyssal-event-id: s.%d\r\n", b"") + framed(chunk("a"), end=False))
        peer.close()

    server.will(act)
    with pytest.raises(StreamInterruptedError):
        texts_of(face)
    assert len(server.requests) == 1


def test_no_retries_is_no_resuming(server: RawServer, way: str) -> None:
    server.will(cut(event(1, "a")))
    with opened_face(way, server.url, max_retries=0) as face, pytest.raises(StreamInterruptedError):
        texts_of(face)
    assert len(server.requests) == 1


def test_closing_early_tells_the_service(server: RawServer, face: Face) -> None:
    server.will(HEAD % 0 + framed(event(1, "a"), end=False), answer({"object": "stream", "deleted": True}))
    opened = face.open(resumable=True)
    face.next(opened)
    face.close(opened)
    face.close(opened)
    assert [(request.method, request.target) for request in server.requests[1:]] == [
        ("DELETE", "/v1/chat/completions")
    ]
    assert server.requests[1].headers["last-event-id"] == "s.1"


def test_closing_after_the_end_tells_nothing(server: RawServer, face: Face) -> None:
    server.will(rest(event(1, "a", finish="stop"), after=0))
    opened = face.open(resumable=True)
    face.texts(opened)
    face.close(opened)
    assert len(server.requests) == 1


def test_a_service_that_does_not_hear_of_the_closing_is_no_matter(server: RawServer, face: Face) -> None:
    server.will(HEAD % 0 + framed(event(1, "a"), end=False), answer(error_body("no"), 400))
    opened = face.open(resumable=True)
    face.next(opened)
    face.close(opened)
    assert len(server.requests) == 2


def test_a_plain_call_is_as_without(server: RawServer, face: Face) -> None:
    from .raw_server import completion

    server.will(answer(completion()))
    assert face.create(resumable=True).choices
    assert "x-abyssal-resumable" not in server.requests[0].headers


# WebSocket


@pytest.fixture
def sockets() -> Iterator[SocketServer]:
    with socket_server() as server:
        yield server


def say_then_cut(*said: dict[str, Any]) -> Callable[[ServerConnection], None]:
    def act(connection: ServerConnection) -> None:
        for message in said:
            connection.send(json.dumps(message))
        connection.socket.shutdown(socket.SHUT_RDWR)

    return act


DIRECT = ["sync-direct", "async-direct"]


def reply_of(face: Face, opened: Any) -> Any:
    return face.run(opened.reply())


@pytest.mark.parametrize("way", DIRECT)
def test_a_socket_s_answer_goes_on_on_another_one(sockets: SocketServer, way: str) -> None:
    sockets.will(
        say_then_cut(piece("a", event_id="s.1"), piece("b", event_id="s.2")),
        [piece("c", event_id="s.3"), last(event_id="s.4")],
    )
    with opened_face(way, sockets.url) as face:
        whole = reply_of(face, face.run(face.client.stream("Hi", model="m", resumable=True)))
        assert whole.content == "abc"
        assert face.sleeps == []
    assert sockets.requests[1:] == [{"type": "resume", "last_event_id": "s.2"}]
    assert [one.headers["x-abyssal-resumable"] for one in sockets.upgrades] == ["1", "1"]


@pytest.mark.parametrize("way", DIRECT)
def test_sockets_that_are_cut_again_and_again(sockets: SocketServer, way: str) -> None:
    sockets.will(say_then_cut(piece("a", event_id="s.1")), say_then_cut())
    with opened_face(way, sockets.url) as face:
        opened = face.run(face.client.stream("Hi", model="m", resumable=True))
        with pytest.raises(StreamInterruptedError):
            reply_of(face, opened)
        assert face.sleeps == [0.5, 1.0]
    assert len(sockets.requests) == 4


@pytest.mark.parametrize("way", DIRECT)
def test_a_socket_s_answer_that_is_gone(sockets: SocketServer, way: str) -> None:
    gone = problem("no such stream", code="stream_not_found")
    sockets.will(say_then_cut(piece("a", event_id="s.1")), [gone])
    with opened_face(way, sockets.url) as face:
        opened = face.run(face.client.stream("Hi", model="m", resumable=True))
        with pytest.raises(StreamInterruptedError, match="no such stream"):
            reply_of(face, opened)


@pytest.mark.parametrize("way", DIRECT)
def test_closing_a_socket_s_answer_cancels_it(sockets: SocketServer, way: str) -> None:
    sockets.will([piece("a", event_id="s.1"), piece("b", event_id="s.2")], [{"type": "cancelled"}])
    with opened_face(way, sockets.url) as face:
        opened = face.run(face.client.stream("Hi", model="m", resumable=True))
        face.close(opened)
        assert sockets.closed.wait(10)
    assert sockets.requests[1:] == [{"type": "cancel"}]


# The rules alone


def test_the_rules() -> None:
    resumption = Resumption(RetryPolicy(max_retries=2, first_wait=1.0), RetryBudget())
    asked = [resumption.seconds_until_next(last_id, 0.0, lambda: 1.0) for last_id in ("", "1", "1", "1", "1")]
    assert asked == [None, 0.0, 1.0, 2.0, None]
    assert resumption.seconds_until_next("2", 0.0, lambda: 1.0) == 0.0


def test_a_timeout_is_what_is_raised_in_the_end(server: RawServer) -> None:
    silent = HEAD % 0 + framed(end=False)
    server.will(silent)
    with opened_face("sync-direct", server.url, max_retries=1) as face, pytest.raises(ApiTimeoutError):
        texts_of(face, timeout=0.05)
