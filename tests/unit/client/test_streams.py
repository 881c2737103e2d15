"""Streams, blocking and asyncio, over both transports: as they come, to the end, or cut at any place."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from abyssal import (
    AbyssalError,
    ApiConnectionError,
    ApiTimeoutError,
    ChatCompletion,
    ProtocolError,
    RateLimitError,
    StreamInterruptedError,
    Timeout,
    UnavailableError,
    UpstreamBrokenError,
)

from .face import KEY, Face, opened_face
from .raw_server import DONE, STREAM_HEAD, Peer, RawServer, answer, chunk, completion, framed, stream

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
WHOLE = stream(chunk("Hel"), chunk("lo"), chunk(finish="stop", usage=USAGE), DONE)


def test_a_stream(server: RawServer, face: Face) -> None:
    server.will(WHOLE)
    opened = face.open(temperature=0)
    assert face.texts(opened) == ["Hel", "lo", None]
    assert (opened.status, opened.headers["content-type"]) == (200, "text/event-stream")
    assert opened.request_id == "req-7"
    request = server.requests[0]
    assert request.json["stream"] is True
    assert request.headers["accept"] == "text/event-stream"
    assert face.texts(opened) == []


def test_the_whole_completion(server: RawServer, face: Face) -> None:
    server.will(WHOLE)
    final = face.final(face.open())
    assert type(final) is ChatCompletion
    assert final.choices[0].message.content == "Hello"
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.total_tokens == 3
    assert final.request_id == "req-7"


def test_the_rest_of_a_stream_that_was_begun(server: RawServer, face: Face) -> None:
    server.will(WHOLE)
    opened = face.open()
    assert face.next(opened).choices[0].delta.content == "Hel"
    assert face.final(opened).choices[0].message.content == "Hello"


def test_chunks_come_as_they_are_sent(server: RawServer, face: Face) -> None:
    read = threading.Event()

    def in_step(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), end=False))
        assert read.wait(5)
        peer.send(framed(chunk("b"), DONE))

    server.will(in_step)
    opened = face.open()
    assert face.next(opened).choices[0].delta.content == "a"
    assert opened.completion_so_far().choices[0].message.content == "a"
    read.set()
    assert face.texts(opened) == ["b"]


def test_any_cut_of_the_bytes(server: RawServer, face: Face) -> None:
    events = b": hello\r\n\r\n" + chunk("深海") + b": keep-alive\n\n" + chunk("🐋", finish="stop") + DONE

    def one_by_one(peer: Peer) -> None:
        peer.send(STREAM_HEAD[:30])
        peer.send(STREAM_HEAD[30:])
        for at in range(len(events)):
            peer.send(framed(events[at : at + 1], end=False))
        peer.send(b"0\r\n\r\n")

    server.will(one_by_one)
    assert face.texts(face.open()) == ["深海", "🐋"]


def test_a_stream_without_chunking_that_ends_with_the_connection(server: RawServer, face: Face) -> None:
    def old_style(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("a") + DONE)
        peer.socket.close()

    server.will(old_style)
    assert face.texts(face.open()) == ["a"]


def test_an_end_without_done(server: RawServer, face: Face) -> None:
    server.will(stream(chunk("a"), chunk(finish="stop")), stream(chunk("a")))
    assert face.texts(face.open()) == ["a", None]
    opened = face.open()
    assert face.next(opened).choices[0].delta.content == "a"
    for _ in range(2):
        with pytest.raises(StreamInterruptedError):
            face.texts(opened)
    assert opened.completion_so_far().choices[0].message.content == "a"
    with pytest.raises(StreamInterruptedError):
        face.final(opened)
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_a_connection_that_breaks_is_never_tried_again(server: RawServer, face: Face, fault: str) -> None:
    taken = threading.Event()

    def broken(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), end=False))
        assert taken.wait(5)
        getattr(peer, fault)()

    server.will(broken)
    opened = face.open()
    assert face.next(opened).choices[0].delta.content == "a"
    taken.set()
    with pytest.raises(StreamInterruptedError):
        face.texts(opened)
    assert len(server.requests) == 1


def test_before_the_headers_a_stream_is_tried_again(server: RawServer, face: Face) -> None:
    busy = answer({"error": {"message": "busy"}}, 503, retry_after="3")
    server.will(busy, lambda peer: peer.close(), WHOLE)
    assert face.texts(face.open()) == ["Hel", "lo", None]
    assert face.sleeps == [3, 1.0]


def test_errors_before_the_headers(server: RawServer, face: Face) -> None:
    server.will(answer({"error": {"message": "busy"}}, 503))
    with pytest.raises(UnavailableError, match="busy"):
        face.open()
    assert len(server.requests) == 3


def test_nobody_listens(way: str) -> None:
    with opened_face(way, "http://127.0.0.1:1/v1", max_retries=0) as face, pytest.raises(ApiConnectionError):
        face.open()


@pytest.mark.parametrize("named", [True, False])
def test_an_error_event(server: RawServer, face: Face, named: bool) -> None:
    error = {"message": f"upstream died, {KEY}", "type": "upstream_error", "code": "upstream_broken"}
    event = b"event: error\n" * named + b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
    server.will(stream(chunk("a"), event))
    opened = face.open()
    assert face.next(opened).choices[0].delta.content == "a"
    with pytest.raises(UpstreamBrokenError, match=r"upstream died, \*\*\*\*") as caught:
        face.texts(opened)
    assert caught.value.request_id == "req-7"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (answer(completion()), ProtocolError, "not a stream"),
        (answer(b"<html><title>Hotel</title>", content_type="text/html"), ProtocolError, "'Hotel'"),
        (answer({"error": {"message": "slow down", "code": 429}}), RateLimitError, "slow down"),
        (stream(b"data: {\n\n"), ProtocolError, "no chat completion chunk"),
        (stream(b"just words"), StreamInterruptedError, "DONE"),
    ],
)
def test_what_is_no_stream(
    server: RawServer, face: Face, reply: bytes, kind: type[AbyssalError], words: str
) -> None:
    server.will(reply)
    with pytest.raises(kind, match=words):
        face.texts(face.open())
    assert len(server.requests) == 1


def test_silence_in_a_stream_is_a_timeout(server: RawServer, face: Face) -> None:
    def silent(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), end=False))
        peer.wait_until_gone()

    server.will(silent)
    opened = face.open(timeout=Timeout(read=0.3))
    assert face.next(opened).choices[0].delta.content == "a"
    with pytest.raises(ApiTimeoutError):
        face.texts(opened)
    assert server.peers[0].gone.wait(2)
    assert len(server.requests) == 1


def test_a_stream_has_no_total_time(server: RawServer, face: Face) -> None:
    def slow(peer: Peer) -> None:
        peer.send(STREAM_HEAD)
        for _ in range(6):
            peer.gone.wait(0.03)
            peer.send(framed(chunk("a"), end=False))
        peer.send(framed(DONE))

    server.will(slow)
    assert len(face.texts(face.open(timeout=Timeout(read=2, total=0.05)))) == 6


def endless(peer: Peer) -> None:
    peer.send(STREAM_HEAD)
    while not peer.gone.wait(0.005):
        peer.send(framed(chunk("a"), end=False))


def assert_hung_up(peer: Peer) -> None:
    threading.Thread(target=peer.wait_until_gone).start()
    assert peer.gone.wait(2)


def test_leaving_the_context_closes_the_connection(server: RawServer, face: Face) -> None:
    server.will(endless)
    opened = face.open()

    async def leave() -> None:
        async with opened as entered:
            assert (await anext(entered)).choices[0].delta.content == "a"

    if face.kind == "sync":
        with opened as entered:
            assert next(entered).choices[0].delta.content == "a"
    else:
        face.run(leave())
    assert_hung_up(server.peers[0])
    assert face.texts(opened) == []
    with pytest.raises(StreamInterruptedError, match="closed"):
        face.final(opened)


def test_closing_a_stream_that_was_never_read(server: RawServer, face: Face) -> None:
    server.will(endless)
    opened = face.open()
    face.close(opened)
    face.close(opened)
    assert_hung_up(server.peers[0])


def test_a_dropped_stream_gives_its_place_back(server: RawServer, way: str) -> None:
    server.will(endless, endless, answer(completion()))
    with opened_face(way, server.url, pool_size=1) as face:
        for _ in range(2):
            opened = face.open()
            face.next(opened)
            del opened
        assert face.create().choices[0].message.content == "Hello!"
    assert_hung_up(server.peers[0])


@pytest.mark.parametrize("way", ["async-direct", "async-pyreqwest"])
def test_cancelling_a_read_hangs_up(server: RawServer, face: Face) -> None:
    def silent(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), end=False))
        peer.wait_until_gone()

    server.will(silent)
    opened = face.open()

    async def cancel() -> None:
        assert (await anext(opened)).choices[0].delta.content == "a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(opened), 0.05)

    face.run(cancel())
    assert server.peers[0].gone.wait(2)
    with pytest.raises(StreamInterruptedError, match="interrupted"):
        face.texts(opened)


@pytest.mark.parametrize("way", ["async-direct"])  # pyreqwest lets the request run on
@pytest.mark.parametrize("streamed", [True, False])
def test_cancelling_a_call_hangs_up(server: RawServer, face: Face, streamed: bool) -> None:
    server.will(lambda peer: peer.wait_until_gone())
    create = face.client.chat.completions.create
    with pytest.raises(TimeoutError):
        face.run(asyncio.wait_for(create(model="m", messages=[], stream=streamed), 0.3))
    assert server.peers[0].gone.wait(2)
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", ["sync-direct", "async-direct"])  # pyreqwest's read timeout does not wait
def test_a_reader_that_is_slow_is_waited_for(server: RawServer, face: Face) -> None:
    sent: list[int] = []

    def flood(peer: Peer) -> None:
        peer.send(STREAM_HEAD)
        for number in range(1500):
            peer.send(framed(chunk("x" * 20_000), end=False))
            sent.append(number)
        peer.send(framed(DONE))

    server.will(flood)
    opened = face.open(timeout=Timeout(read=0.2))
    face.next(opened)

    seen = -1
    while seen != len(sent):  # until the server can send no more
        seen = len(sent)
        face.run(asyncio.sleep(0.3)) if face.kind == "async" else threading.Event().wait(0.3)
    assert seen < 1500  # 30 MB are not held here, but wait on the other side
    assert len(face.texts(opened)) == 1499
