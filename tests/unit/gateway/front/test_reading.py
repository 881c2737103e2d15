"""However a client's bytes are cut, the same requests are read from them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.messages import chat, completion
from tests.unit.gateway.stage import Stage

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front.reader import RequestReader
from abyssal.wire.errors import ApiError

Read = tuple[bytes, bytes, bytes, bytes, bytes | None, bytes | None, bytes, bytes, bool, bool]


class Sink:
    """What a reader tells, as values that can be compared."""

    def __init__(self, *, max_body: int = 1_000_000) -> None:
        self.told: list[Read | int] = []
        self.at_rest = True
        self.reader = RequestReader(self, self, max_body=max_body, next_id=lambda: "id")  # type: ignore[arg-type]

    def took(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        head = exchange.head
        one = (head.method, head.path, head.query, exchange.body, head.authorization)
        self.told.append((*one, head.content_encoding, head.host, head.target, keep_alive, http10))
        assert isinstance(head.forwarded, bytes)

    def refused(self, error: ApiError) -> None:
        self.told.append(error.status_code)

    def progressed(self) -> None: ...
    def expected(self) -> None: ...


def read(data: bytes, cuts: list[int] | None = None, *, at_rest: bool = True) -> list[Read | int]:
    sink = Sink()
    edges = [0, *sorted(cuts or []), len(data)]
    for start, end in pairwise(edges):
        if start < end and not sink.reader.failed:
            sink.reader.feed(data[start:end], at_rest=at_rest)
    return sink.told


bodies = st.binary(max_size=40) | st.sampled_from(
    (b"", b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"0\r\n\r\n")
)
heads = st.sampled_from(
    [
        (b"POST /v1/chat/completions HTTP/1.1", b"Host: a\r\nAuthorization: Bearer one\r\n"),
        (b"POST /v1/chat/completions HTTP/1.1", b"Host: a\r\nAuthorization: Bearer two\r\n"),
        (b"POST /v1/chat/completions?x=1 HTTP/1.1", b"Host: a\r\n"),
        (b"GET /healthz HTTP/1.1", b"Host: a\r\n"),
        (b"POST / HTTP/1.1", b"Host: a\r\nContent-Encoding: gzip\r\nX: " + b"y" * 300 + b"\r\n"),
        (b"POST / HTTP/1.0", b"Connection: keep-alive\r\n"),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line, fields = draw(heads)
    body = draw(bodies)
    framing = draw(st.sampled_from(("before", "after", "chunked", "none")))
    length = b"Content-Length: %d\r\n" % len(body)
    if framing == "none" or line.startswith(b"GET"):
        return line + b"\r\n" + fields + b"\r\n"
    if framing == "chunked" and line.endswith(b"1.1"):
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7)
        )
        return line + b"\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    fields = length + fields if framing == "before" else fields + length
    return line + b"\r\n" + fields + b"\r\n" + body


@settings(deadline=None, max_examples=250)
@given(st.lists(requests(), min_size=1, max_size=6), st.data())
def test_cuts_do_not_matter(sent: list[bytes], data: st.DataObject) -> None:
    together = b"".join(sent)
    alone = [one for request in sent for one in read(request)]
    assert len(alone) == len(sent)
    assert read(together) == alone
    cuts = data.draw(st.lists(st.integers(0, len(together)), max_size=10))
    assert read(together, cuts) == alone
    assert read(together, cuts, at_rest=False) == alone
    assert read(together, list(range(len(together)))) == alone
    ends = [sum(map(len, sent[:count])) for count in range(len(sent))]
    assert read(together, ends) == alone
    assert read(together, ends + cuts) == alone


def test_a_head_is_recognised_only_from_its_first_byte() -> None:
    # The first request's body ends with what looks like the beginning of another request's head.
    trap = b"GET /other HTTP/1.1\r\nX: "
    head = b"POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    first = b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 + len(trap))
    sink = Sink()
    sink.reader.feed(first + b"ab", at_rest=True)
    sink.reader.feed(trap + head + b"hello", at_rest=True)
    sink.reader.feed(trap + head + b"hello", at_rest=True)
    paths = [one[1] for one in sink.told if isinstance(one, tuple)]
    assert paths == [b"/first", b"/chat", b"/other"]


@pytest.mark.parametrize("first", [b"Authorization: Bearer one\r\n", b"X-Api-Key: one\r\n", b""])
def test_a_recognised_head_is_not_taken_for_another_one(first: bytes) -> None:
    def request(fields: bytes, body: bytes) -> bytes:
        return b"POST /x HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)

    sink = Sink()
    for body in (b"a", b"bb", b"ccc"):
        sink.reader.feed(request(first, body), at_rest=True)
    sink.reader.feed(request(b"Authorization: Bearer other\r\n", b"d"), at_rest=True)
    sink.reader.feed(request(first, b"e"), at_rest=True)
    found = [one for one in sink.told if isinstance(one, tuple)]
    assert [one[3] for one in found] == [b"a", b"bb", b"ccc", b"d", b"e"]
    assert found[3][4] == b"Bearer other"
    assert [one[4] for one in found[:3]] == [found[4][4]] * 3


LENGTHS = [
    (b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
    (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"Content-Length: +3\r\n", 400),
    (b"Content-Length: 3, 3\r\n", 400),
    (b"Content-Length: 1000001\r\n", 413),
    (b"Content-Length: 99999999999999999999999\r\n", 400),
    (b"Content-Length: 0x3\r\n", 400),
    (b"Content-Length: \r\n", 400),
]


@pytest.mark.parametrize(
    ("fields", "status"), LENGTHS, ids=[fields.decode().strip() for fields, _ in LENGTHS]
)
def test_recognition_relaxes_no_rule_about_lengths(fields: bytes, status: int) -> None:
    line = b"POST /x HTTP/1.1\r\nHost: a\r\n"
    sink = Sink()
    for _ in range(3):
        sink.reader.feed(line + b"Content-Length: 3\r\n\r\nabc", at_rest=True)
    sink.reader.feed(line + fields + b"\r\nabc", at_rest=True)
    assert sink.told[3:] == [status]
    assert sink.reader.failed


@pytest.mark.parametrize("size", [1, 100, 1460, 4096, 100_000])
@pytest.mark.parametrize("fields", [1, 4, 90])
def test_a_large_head_within_the_limit_is_taken_in_any_pieces(size: int, fields: int) -> None:
    value = b"v" * (24_000 // fields)
    lines = b"".join(b"X-%d: %b\r\n" % (number, value) for number in range(fields))
    request = b"POST /x HTTP/1.1\r\nHost: a\r\n" + lines + b"Content-Length: 2\r\n\r\nhi"
    told = read(request, list(range(0, len(request), size)))
    assert len(told) == 1
    assert isinstance(told[0], tuple), f"refused with {told[0]}"


@pytest.mark.parametrize("size", [1000, 1460, 65536, 250_000])
def test_a_head_over_the_limit_is_refused_in_any_pieces(size: int) -> None:
    for lines in (
        b"X: " + b"v" * 200_000,
        b"X: y\r\n" * 101,
        b"X: " + b"v" * 33_000 + b"\r\n\r\n",
        b"X" * 80_000 + b": y\r\n",
    ):
        request = b"POST /x HTTP/1.1\r\nHost: a\r\n" + lines
        assert read(request, list(range(0, len(request), size))) == [431]


def test_many_small_requests_and_the_beginning_of_another_in_one_read() -> None:
    small = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    told = read(small * 6000 + small[:20] + small[20:], [len(small) * 6000 + 20])
    assert len(told) == 6001
    assert all(isinstance(one, tuple) for one in told)


def chunked(body: bytes, size: int) -> bytes:
    return b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + size]), body[at : at + size])
        for at in range(0, len(body), size)
    )


CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [10, 100, 1000, 50_000])
@pytest.mark.parametrize("piece", [1460, 65536, 250_000])
def test_a_body_in_small_chunks_is_taken_in_any_pieces(size: int, piece: int) -> None:
    body = bytes(range(256)) * 1000
    request = CHUNKED + chunked(body, size) + b"0\r\n\r\n"
    told = read(request, list(range(0, len(request), piece)))
    assert [one[3] if isinstance(one, tuple) else one for one in told] == [body]


@pytest.mark.parametrize(
    "rest",
    [
        b"3\r\nabc\r\n0\r\nX: " + b"y" * 600_000,
        b"3;ext=" + b"y" * 600_000,
        b"3\r\nabc\r\n" + b"1;" + b"y" * 600_000 + b"\r\nz\r\n",
        b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"1;" + b"y" * 2000 + b"\r\nz\r\n" + (b"1;" + b"y" * 2000 + b"\r\nz\r\n") * 300 + b"0\r\n\r\n",
    ],
    ids=["long trailer", "long extension", "long second extension", "many trailers", "many extensions"],
)
@pytest.mark.parametrize("piece", [1000, 65536, 250_000])
def test_framing_without_a_body_is_refused(rest: bytes, piece: int) -> None:
    request = CHUNKED + rest
    (told,) = read(request, list(range(0, len(request), piece)))
    assert told in (400, 431)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    assert read(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n") == [413]
    sink = Sink(max_body=1000)
    for _ in range(20):
        if not sink.reader.failed:
            sink.reader.feed(
                (CHUNKED if not sink.told and _ == 0 else b"") + chunked(b"x" * 100, 100), at_rest=True
            )
    assert sink.told == [413]


@pytest.mark.parametrize("apart", [True, False])
def test_calls_whose_heads_are_alike_keep_their_own_bodies(stage: Stage, apart: bool) -> None:
    client = stage.client()
    for number in range(5):
        request = chat(user="u" * number, headers=b"X-Same: yes\r\n")
        cut = request.index(b"\r\n\r\n") + 4 if apart else len(request) // 2
        client.send(request[:cut]).send(request[cut:])
        received = stage.server.last.requests[-1]
        assert received.json()["user"] == "u" * number
        assert received.header("x-same") == "yes"
        stage.server.last.answer(completion(str(number)))
    contents: list[Any] = [
        json.loads(one.body)["choices"][0]["message"]["content"] for one in client.answers()
    ]
    assert contents == list("01234")
    assert len({one.header("x-request-id") for one in client.answers()}) == 5


@pytest.mark.parametrize("line", [b"0" * 40_960 + b"2", b"2;" + b"x" * 40_000, b"2" + b" " * 40_000])
def test_a_size_line_longer_than_any_head_is_refused(line: bytes) -> None:
    request = CHUNKED + line + b"\r\nhi\r\n0\r\n\r\n"
    for behind in (b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert read(request + behind) == [400]


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n"])
def test_what_follows_a_chunked_body_is_not_its_framing(before: bytes) -> None:
    small = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    told = read(before + CHUNKED + b"2;a=b\r\nhi\r\n00\r\nX: y\r\n\r\n" + small * 3000)
    assert len(told) == 3001
    assert all(isinstance(one, tuple) for one in told)
