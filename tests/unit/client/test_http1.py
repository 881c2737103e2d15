"""HTTP/1.1 answers, by the rules at the head of `abyssal.client.http1`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.client.http1 import MAX_HEAD_BYTES, AnswerReader, request_bytes
from abyssal.client.request import Endpoint, Request
from abyssal.client.settings import parse_base_url
from abyssal.client.timeout import Timeout
from abyssal.wire.errors import ApiConnectionError, LocalError, ProtocolError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*pieces: bytes) -> tuple[AnswerReader, bytes]:
    reader = AnswerReader()
    return reader, b"".join([reader.feed(piece) for piece in pieces])


@pytest.mark.parametrize(
    ("answer", "status", "content", "reusable"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
        (OK + b"content-length:2\r\ncontent-length: 2\r\n\r\nhi", 200, b"hi", True),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi", 200, b"hi", False),
        (OK + b"Content-Length: 2\r\nConnection: x, Close\r\n\r\nhi", 200, b"hi", False),
        (OK + b"Content-Length: 2\r\n\r\nhi+", 200, b"hi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno", 404, b"no", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (
            b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            b"",
            True,
        ),
        (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", 200, b"hi", True),
        (
            CHUNKED + b"2;name=value\r\nhi\r\nA \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
            200,
            b"hi0123456789",
            True,
        ),
        (CHUNKED + b"0\r\n\r\n", 200, b"", True),
        (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n+", 200, b"hi", False),
    ],
)
def test_whole_answers_however_cut(answer: bytes, status: int, content: bytes, reusable: bool) -> None:
    for step in (len(answer), 1, 2, 3, 7):
        reader, came = read(*(answer[at : at + step] for at in range(0, len(answer), step)))
        assert (reader.status, came, reader.complete) == (status, content, True)
        assert reader.reusable is reusable


def test_headers_are_lower_case_stripped_and_joined() -> None:
    reader, _ = read(OK + b"X-A:  one \r\nx-a: two\r\nX-B:\r\nX-C: caf\xe9\r\nContent-Length: 0\r\n\r\n")
    assert reader.headers == {"x-a": "one, two", "x-b": "", "x-c": "café", "content-length": "0"}


def test_without_a_length_the_content_ends_with_the_connection() -> None:
    reader, content = read(OK + b"\r\nsome", b" more")
    assert (content, reader.complete) == (b"some more", False)
    reader.feed_end()
    assert reader.complete
    assert not reader.reusable


@pytest.mark.parametrize(
    ("answer", "when"),
    [
        (b"", "before it answered"),
        (OK[:9], "before it answered"),
        (OK + b"Content-Length: 5\r\n\r\nhi", "middle"),
        (CHUNKED, "middle"),
        (CHUNKED + b"5\r\nhi", "middle"),
        (CHUNKED + b"2\r\nhi\r\n", "middle"),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", "middle"),
    ],
)
def test_an_end_that_comes_too_soon(answer: bytes, when: str) -> None:
    reader, _ = read(answer)
    with pytest.raises(ApiConnectionError, match=when):
        reader.feed_end()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        b"220 mail ESMTP\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 20\xb2 OK\r\n\r\n",
        b"HTTP/1.1-200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b": no name\r\n\r\n",
        OK + b"Name : spaced\r\n\r\n",
        OK + b"A: b\r\n folded\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        OK + b"Content-Length: -2\r\n\r\n",
        OK + b"Content-Length: +2\r\n\r\n",
        OK + b"Content-Length: 2, 2\r\n\r\n",
        OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        OK + b"X: " + b"x" * MAX_HEAD_BYTES,
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"-2\r\nhi\r\n",
        CHUNKED + b"1_0\r\nhi\r\n",
        CHUNKED + b"\r\nhi\r\n",
        CHUNKED + b"2\r\nhihi\r\n",
        CHUNKED + b"f" * 17 + b"\r\n",
        CHUNKED + b"2" * 5000,
    ],
)
def test_what_is_no_http_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(answer)


def test_tls_on_the_port_is_recognised() -> None:
    with pytest.raises(ProtocolError, match="https://"):
        read(b"\x15\x03\x01\x00\x02\x02")


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.lists(st.integers(0, 500), max_size=12))
def test_any_cut_of_chunks_gives_the_same_content(chunks: list[bytes], cuts: list[int]) -> None:
    answer = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    places = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    reader, content = read(*(answer[a:b] for a, b in pairwise(places)))
    assert (content, reader.reusable) == (b"".join(chunks), True)


@given(st.sampled_from([b"", OK, OK + b"Content-Length: 3\r\n\r\n", CHUNKED]), st.binary(max_size=100))
def test_garbage_is_refused_and_nothing_worse(start: bytes, garbage: bytes) -> None:
    try:
        reader, _ = read(start + garbage)
        reader.feed_end()
    except LocalError:
        pass


@pytest.mark.parametrize(
    ("url", "request_line", "host"),
    [
        ("http://127.0.0.1:8000/v1", b"POST /v1/chat HTTP/1.1", b"host: 127.0.0.1:8000"),
        ("http://example.com", b"POST /chat HTTP/1.1", b"host: example.com"),
        ("http://[::1]:80/", b"POST /chat HTTP/1.1", b"host: [::1]"),
    ],
)
def test_a_request(url: str, request_line: bytes, host: bytes) -> None:
    endpoint = Endpoint("POST", parse_base_url(url), "/chat", {"accept": "text/plain"})
    sent = request_bytes(Request(endpoint, b"{}", Timeout(), None))
    assert sent == request_line + b"\r\n" + host + b"\r\naccept: text/plain\r\ncontent-length: 2\r\n\r\n{}"
    without = request_bytes(Request(endpoint, None, Timeout(), None))
    assert without == request_line + b"\r\n" + host + b"\r\naccept: text/plain\r\n\r\n"
