"""A connection to an upstream: the same answers are read however they are cut, recognised or parsed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.transports import HeldLoop, Transport

from abyssal.gateway.upstreams.connection import Headers, UpstreamConnection, UpstreamFaultError


class Told:
    """A receiver: what it was told, body pieces joined."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = 0
        self.fault: UpstreamFaultError | None = None

    def on_head(self, status: int, headers: Headers, length: int | None) -> None:
        assert self.status == 0, "two heads"
        self.status, self.headers = status, list(headers)
        if length is not None:
            self.headers.append((b"content-length", b"%d" % length))

    def on_body(self, data: bytes) -> None:
        assert self.status, "a body before its head"
        assert not self.ended
        self.body += data

    def on_flush(self) -> None:
        assert not self.ended

    def on_end(self) -> None:
        self.ended += 1

    def on_fault(self, fault: UpstreamFaultError) -> None:
        self.fault = fault

    @property
    def all(self) -> tuple[int, list[tuple[bytes, bytes]], bytes, int, str]:
        return self.status, sorted(self.headers), self.body, self.ended, self.fault.code if self.fault else ""


class Wire:
    """A connection on a fake transport; `released` is what it said of its reuse."""

    def __init__(self) -> None:
        self.loop = HeldLoop()
        self.released: list[bool] = []
        self.connection = UpstreamConnection(lambda _, keep: self.released.append(keep))
        self.transport = Transport(self.connection, self.loop)
        self.connection.connection_made(self.transport)

    def ask(self, *pieces: bytes) -> Told:
        told = Told()
        self.connection.send(b"request", told)
        for piece in pieces:
            self.transport.deliver(piece)
        return told

    def close(self) -> None:
        self.connection.close()
        self.loop.run_until_complete(_nothing())
        self.loop.close()


async def _nothing() -> None:
    pass


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


bodies = st.binary(max_size=60) | st.sampled_from(
    (b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n\r\n", b"3", b"x" * 300)
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from((b"200 OK", b"200 OK", b"400 Bad", b"503 Busy")))
    extra = draw(st.sampled_from((b"", b"Server: x\r\n", b"Date: now\r\n")))
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n" + extra
    if draw(st.integers(0, 4)) == 0:
        head = b"HTTP/1.1 102 Processing\r\n\r\n" + head
    if draw(st.booleans()):
        body = draw(bodies)
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = draw(st.lists(bodies.filter(bool), max_size=5))
    size = draw(st.sampled_from((b"%x\r\n", b"%X\r\n", b"00%x\r\n", b"%x;a=b\r\n")))
    chunks = b"".join(size % len(piece) + piece + b"\r\n" for piece in pieces)
    trailer = draw(st.sampled_from((b"", b"X-Trailer: 1\r\n")))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


@settings(deadline=None, max_examples=120)
@given(st.lists(answers(), min_size=1, max_size=5), st.data())
def test_cuts_do_not_matter(given_answers: list[bytes], data: st.DataObject) -> None:
    wire = Wire()
    try:
        for answer in given_answers:
            alone = Wire()
            expected = alone.ask(*cut(answer, list(range(len(answer))))).all
            alone.close()
            assert expected[3] == 1
            assert wire.ask(answer).all == expected
            lines = [place + 2 for place in range(len(answer)) if answer[place : place + 2] == b"\r\n"]
            assert wire.ask(*cut(answer, lines)).all == expected
            places = data.draw(st.lists(st.integers(0, len(answer)), max_size=6))
            assert wire.ask(*cut(answer, places)).all == expected
        assert set(wire.released) == {True}
    finally:
        wire.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "piece",
    [
        b"6\r\nabcdef\r\n",
        b"000006\r\nabcdef\r\n",
        b"6\r\nab\r\nef\r\n",
        b"6\r\n0\r\n\r\nx\r\n",
        b"a\r\n5\r\nhello\r\n\r\n",
    ],
)
def test_lone_chunks(piece: bytes) -> None:
    wire = Wire()
    told = wire.ask(CHUNKED, b"1\r\nx\r\n", piece, piece, b"1\r\ny\r\n", b"0\r\n\r\n")
    content = piece.partition(b"\r\n")[2][:-2]
    assert told.body == b"x" + content * 2 + b"y"
    assert told.ended == 1
    wire.close()


@pytest.mark.parametrize(
    "piece",
    [
        b"0x3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"\r\nabc\r\n",
        b"g\r\nabc\r\n",
        b"2\r\nabc\r\n",
    ],
)
def test_lone_chunks_with_faulty_sizes(piece: bytes) -> None:
    wire = Wire()
    told = wire.ask(CHUNKED, b"1\r\nx\r\n", piece)
    if told.fault is None:
        wire.transport.deliver(b"3\r\nabc\r\n")
    assert told.fault is not None
    assert told.fault.code == "upstream_garbage"
    assert told.body in (b"x", b"xab")
    wire.close()


def test_a_chunk_in_two_reads_after_a_lone_one() -> None:
    wire = Wire()
    told = wire.ask(CHUNKED, b"1\r\nx\r\n", b"6\r\nab\r\n", b"ef\r\n", b"2\r", b"\nyz\r\n", b"0\r\n", b"\r\n")
    assert told.body == b"xab\r\nefyz"
    assert told.ended == 1
    wire.close()


LLAMA = b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nKeep-Alive: timeout=5, max=100\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "lasts"),
    [
        (LLAMA + CHUNKS, False),
        (LLAMA + b"Content-Length: 2\r\n\r\nab", True),
        (LLAMA.replace(b"llama.cpp", b"uvicorn") + CHUNKS, True),
    ],
)
def test_a_llama_server_s_stream_ends_its_connection_unsaid(answer: bytes, lasts: bool) -> None:
    wire = Wire()
    for told in (wire.ask(answer), wire.ask(*cut(answer, [90, 130])) if lasts else None):
        assert told is None or (told.body, told.ended, told.fault) == (b"ab", 1, None)
    assert set(wire.released) == {lasts}
    assert wire.transport.is_closing() is not lasts
    wire.close()


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    wire = Wire()
    told = wire.ask(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd")
    assert told.ended == 0
    wire.transport.peer_closes()
    wire.loop.run_until_complete(_nothing())
    assert (told.body, told.ended, told.fault) == (b"abcd", 1, None)
    assert wire.released == [False]
    wire.close()


def test_an_answer_without_a_length_that_is_reset_is_broken() -> None:
    wire = Wire()
    told = wire.ask(b"HTTP/1.1 200 OK\r\n\r\nab")
    wire.transport.peer_closes(ConnectionResetError(104, "reset"))
    wire.loop.run_until_complete(_nothing())
    assert told.fault is not None
    assert told.ended == 0
    wire.close()


def test_an_interim_answer_with_a_length_frames_nothing() -> None:
    wire = Wire()
    told = wire.ask(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody")
    wire.transport.peer_closes()
    wire.loop.run_until_complete(_nothing())
    assert (told.body, told.ended) == (b"body", 1)
    wire.close()


@pytest.mark.parametrize("answered", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
def test_whether_a_byte_had_come_is_told(answered: bytes) -> None:
    wire = Wire()
    told = wire.ask(answered)
    wire.transport.peer_closes()
    wire.loop.run_until_complete(_nothing())
    assert told.fault is not None
    assert told.fault.answered is bool(answered)
    assert told.fault.code == "upstream_closed"
    wire.close()


def test_closing_is_silent() -> None:
    wire = Wire()
    told = wire.ask(b"HTTP/1.1 200 OK\r\n")
    wire.connection.close()
    wire.loop.run_until_complete(_nothing())
    assert told.all == (0, [], b"", 0, "")
    assert not wire.connection.usable
    wire.close()
