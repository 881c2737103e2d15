"""What RFC 9112 forbids, byte by byte, a case each.

Every refusal is checked to the same depth: the status, the error object, the request id, the end of the
connection, that nothing reached the upstream, and that the server goes on serving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Stage

MIB = 1024 * 1024
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"<head>Transfer-Encoding: chunked\r\n\r\n"

Cases = dict[str, tuple[bytes, set[int]]]


def each(cases: Cases) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("wire", "allowed"), list(cases.values()), ids=list(cases))


def lines(count: int, size: int = 1) -> bytes:
    return b"".join(b"X-%d: %b\r\n" % (number, b"v" * size) for number in range(count))


# A request line stands before <rest>, so each case is a good chat call but for what its name says.
REQUEST_LINES: Cases = {
    "no version": (b"GET /healthz\r\n\r\n", {400, 505}),
    "lower-case version": (b"POST /v1/chat/completions http/1.1", {400}),
    "version with three parts": (b"POST /v1/chat/completions HTTP/1.1.1", {400}),
    "version without minor": (b"POST /v1/chat/completions HTTP/1", {400}),
    "version with letters": (b"POST /v1/chat/completions HTTP/1.x", {400}),
    "version with sign": (b"POST /v1/chat/completions HTTP/+1.1", {400}),
    "another protocol": (b"POST /v1/chat/completions RTSP/1.0", {400}),
    "HTTP/0.9": (b"POST /v1/chat/completions HTTP/0.9", {505}),
    "HTTP/2.0": (b"POST /v1/chat/completions HTTP/2.0", {505}),
    "HTTP/9.9": (b"POST /v1/chat/completions HTTP/9.9", {505}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "space after the version": (b"POST /v1/chat/completions HTTP/1.1 ", {400}),
    "space before the method": (b" POST /v1/chat/completions HTTP/1.1", {400}),
    "tab between the parts": (b"POST\t/v1/chat/completions\tHTTP/1.1", {400}),
    "space in the target": (b"POST /v1/chat /completions HTTP/1.1", {400}),
    "NUL in the target": (b"POST /v1/chat/\x00completions HTTP/1.1", {400}),
    "control character in the target": (b"POST /v1/chat/\x01completions HTTP/1.1", {400}),
    "DEL in the target": (b"POST /v1/chat/\x7fcompletions HTTP/1.1", {400}),
    "raw UTF-8 in the target": ("POST /v1/chat/ü HTTP/1.1".encode(), {400}),
    "target without a slash": (b"POST v1/chat/completions HTTP/1.1", {400}),
    "method that is no token": (b"PO(ST /v1/chat/completions HTTP/1.1", {400}),
    "bare CR in the request line": (b"POST /v1/chat\r/completions HTTP/1.1", {400}),
    "bare LF for line ends": (b"GET /healthz HTTP/1.1\nHost: a\n\n\r\n\r\n", {400}),
    "bare CR for a line end": (b"GET /healthz HTTP/1.1\rHost: a\r\r\n\r\n", {400}),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300, {400}),
    "garbage": (b"\x00\xff\xfe\r\n\r\n", {400}),
}


@each(REQUEST_LINES)
def test_request_lines(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(
        wire if wire.endswith(b"\r\n\r\n") else wire + b"\r\n<rest>\r\n<body>", allowed, closes=True
    )


HOSTS: Cases = {
    "missing": (b"", {400}),
    "empty": (b"Host:\r\n", {400}),
    "blank": (b"Host: \t \r\n", {400}),
    "twice": (b"Host: a\r\nHost: b\r\n", {400}),
    "twice the same": (b"Host: a\r\nhost: a\r\n", {400}),
    "list": (b"Host: a, b\r\n", {400}),
    "with a space": (b"Host: a b\r\n", {400}),
    "with a slash": (b"Host: a/b\r\n", {400}),
    "with a user": (b"Host: user@a\r\n", {400}),
    "with a query": (b"Host: a?b\r\n", {400}),
    "with a port of letters": (b"Host: a:b\r\n", {400}),
    "with an open bracket": (b"Host: [::1\r\n", {400}),
}


@each(HOSTS)
def test_hosts(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(b"<line>" + wire + b"<auth>Content-Length: <size>\r\n\r\n<body>", allowed, closes=True)


HEADERS: Cases = {
    "space before the colon": (b"X-A : b\r\n", {400}),
    "tab before the colon": (b"X-A\t: b\r\n", {400}),
    "space in the name": (b"X A: b\r\n", {400}),
    "empty name": (b": b\r\n", {400}),
    "no colon": (b"X-A\r\n", {400}),
    "name with a parenthesis": (b"X(A): b\r\n", {400}),
    "name with a control character": (b"X\x01A: b\r\n", {400}),
    "name outside ASCII": ("X-Ä: b\r\n".encode(), {400}),
    "folded with a space": (b"X-A: b\r\n c\r\n", {400}),
    "folded with a tab": (b"X-A: b\r\n\tc\r\n", {400}),
    "folded empty": (b"X-A: b\r\n \r\n", {400}),
    "NUL in the value": (b"X-A: b\x00c\r\n", {400}),
    "control character in the value": (b"X-A: b\x0bc\r\n", {400}),
    "DEL in the value": (b"X-A: b\x7fc\r\n", {400}),
    "bare CR in the value": (b"X-A: b\rc\r\n", {400}),
    "bare CR and a header after it": (b"X-A: b\rContent-Length: 3\r\n", {400}),
    "bare CR for the last line end": (b"\rX", {400}),
}


@each(HEADERS)
def test_headers(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(b"<post>" + wire + b"\r\n<body>", allowed, closes=True)


def test_a_space_before_the_first_header(stage: Stage) -> None:
    stage.refused(b"<line> <rest>\r\n<body>", {400}, closes=True)


LIMITS: Cases = {
    "101 headers": (GET + lines(100) + b"\r\n", {431}),
    "1000 headers": (GET + lines(1000) + b"\r\n", {431}),
    "one header of 33 KiB": (GET + lines(1, 33 * 1024) + b"\r\n", {431}),
    "five headers of 7 KiB": (GET + lines(5, 7 * 1024) + b"\r\n", {431}),
    "a header name of 33 KiB": (GET + b"X" * 33 * 1024 + b": v\r\n\r\n", {431}),
    "a header that does not end": (GET + b"X-A: " + b"v" * 64 * 1024, {431}),
    "headers that do not end": (GET + lines(5, 16 * 1024), {431}),
    "a target of 64 KiB": (b"GET /" + b"a" * 64 * 1024 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}),
    "a method of 64 KiB": (b"G" * 64 * 1024, {400, 431, 501}),
}


@each(LIMITS)
def test_heads_over_the_limits(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(wire, allowed, closes=True)


LENGTHS: Cases = {
    "negative": (b"Content-Length: -1\r\n", {400}),
    "with a plus": (b"Content-Length: +<size>\r\n", {400}),
    "hexadecimal": (b"Content-Length: 0x42\r\n", {400}),
    "empty": (b"Content-Length: \r\n", {400}),
    "letters": (b"Content-Length: all\r\n", {400}),
    "fraction": (b"Content-Length: <size>.0\r\n", {400}),
    "underscore": (b"Content-Length: 6_6\r\n", {400}),
    "inner space": (b"Content-Length: 6 6\r\n", {400}),
    "vertical tab": (b"Content-Length: \x0b<size>\r\n", {400}),
    "list of two values": (b"Content-Length: <size>, 5\r\n", {400}),
    "two headers, two values": (b"Content-Length: <size>\r\nContent-Length: 5\r\n", {400}),
    "over 64 bits": (b"Content-Length: 18446744073709551682\r\n", {400, 413}),
    "thirty digits": (b"Content-Length: " + b"9" * 30 + b"\r\n", {400, 413}),
    "with chunked": (b"Content-Length: <size>\r\nTransfer-Encoding: chunked\r\n", {400}),
    "with chunked before it": (b"Transfer-Encoding: chunked\r\nContent-Length: <size>\r\n", {400}),
    "of zero with chunked": (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", {400}),
    "with another coding": (b"Content-Length: <size>\r\nTransfer-Encoding: gzip\r\n", {400, 501}),
}


@each(LENGTHS)
def test_content_lengths(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(b"<head>" + wire + b"\r\n<body>", allowed, closes=True)


CODINGS: Cases = {
    "gzip": (b"Transfer-Encoding: gzip", {501}),
    "unknown": (b"Transfer-Encoding: xchunked", {501}),
    "unknown before chunked": (b"Transfer-Encoding: bork, chunked", {501}),
    "gzip before chunked": (b"Transfer-Encoding: gzip, chunked", {501}),
    "gzip before chunked in another header": (
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        {400, 501},
    ),
    "identity": (b"Transfer-Encoding: identity", {400, 501}),
    "chunked not last": (b"Transfer-Encoding: chunked, gzip", {400, 501}),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked", {400}),
    "chunked in two headers": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", {400}),
    "identity after chunked": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", {400, 501}),
    "chunked with a parameter": (b"Transfer-Encoding: chunked;a=b", {400, 501}),
    "quoted": (b'Transfer-Encoding: "chunked"', {400, 501}),
    "empty": (b"Transfer-Encoding: ", {400, 501}),
    "space before the colon": (b"Transfer-Encoding : chunked", {400}),
    "vertical tab before it": (b"Transfer-Encoding: \x0bchunked", {400}),
    "folded": (b"Transfer-Encoding:\r\n chunked", {400}),
}


@each(CODINGS)
def test_transfer_codings(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(b"<head>" + wire + b"\r\n\r\n<hex>\r\n<body>\r\n0\r\n\r\n", allowed, closes=True)


def test_chunks_in_http_1_0(stage: Stage) -> None:
    """RFC 9112 §6.1: the framing is faulty, whatever it says."""
    head = b"POST /v1/chat/completions HTTP/1.0\r\nHost: a\r\n<auth>Transfer-Encoding: chunked\r\n\r\n"
    stage.refused(head + b"<hex>\r\n<body>\r\n0\r\n\r\n", {400}, closes=True)


CHUNKS: Cases = {
    "size of letters": (b"xyz\r\n<body>\r\n0\r\n\r\n", {400}),
    "size missing": (b"\r\n<body>\r\n0\r\n\r\n", {400}),
    "size negative": (b"-<hex>\r\n<body>\r\n0\r\n\r\n", {400}),
    "size with a plus": (b"+<hex>\r\n<body>\r\n0\r\n\r\n", {400}),
    "size with 0x": (b"0x<hex>\r\n<body>\r\n0\r\n\r\n", {400}),
    "size with a leading space": (b" <hex>\r\n<body>\r\n0\r\n\r\n", {400}),
    "size with a trailing space": (b"<hex> \r\n<body>\r\n0\r\n\r\n", {400}),
    "size with a fraction": (b"<hex>.0\r\n<body>\r\n0\r\n\r\n", {400}),
    "size over 64 bits": (b"100000000000000<hex>\r\n<body>\r\n0\r\n\r\n", {400, 413}),
    "size of 40 KiB of zeros": (b"0" * 40_960 + b"<hex>\r\n<body>\r\n0\r\n\r\n", {400, 413, 431}),
    "data longer than said": (b"3\r\n<body>\r\n0\r\n\r\n", {400}),
    "data shorter than said": (b"<hex>\r\n{}\r\n0\r\n\r\n" + b"x" * 80, {400}),
    "no line end after the data": (b"<hex>\r\n<body>0\r\n\r\n", {400}),
    "bare LF after the size": (b"<hex>\n<body>\r\n0\r\n\r\n", {400}),
    "bare LF after the data": (b"<hex>\r\n<body>\n0\r\n\r\n", {400}),
    "bare CR after the size": (b"<hex>\r<body>\r\n0\r\n\r\n", {400}),
    "bare LF in an extension": (b"<hex>;a\n<body>\r\n0\r\n\r\n", {400}),
    "control character in an extension": (b"<hex>;a=\x01\r\n<body>\r\n0\r\n\r\n", {400}),
    "an extension that does not end": (b"<hex>;" + b"a" * 128 * 1024, {400, 413, 431}),
    "trailer without a colon": (b"<hex>\r\n<body>\r\n0\r\nX-A\r\n\r\n", {400}),
    "trailer with a space before the colon": (b"<hex>\r\n<body>\r\n0\r\nX-A : b\r\n\r\n", {400}),
    "trailer with a control character": (b"<hex>\r\n<body>\r\n0\r\nX-A: \x01\r\n\r\n", {400}),
    "trailers over the limit": (b"<hex>\r\n<body>\r\n0\r\n" + lines(300, 200) + b"\r\n", {400, 431}),
    "trailers that do not end": (b"<hex>\r\n<body>\r\n0\r\nX-A: " + b"v" * 128 * 1024, {400, 431}),
}


@each(CHUNKS)
def test_chunks(stage: Stage, wire: bytes, allowed: set[int]) -> None:
    stage.refused(CHUNKED + wire, allowed, closes=True)


def test_small_chunks_with_large_extensions(stage: Stage) -> None:
    """Content of one byte for each 4 KiB of extension: 16 MiB on the wire for a body of 4 KiB."""
    piece = (b"1;" + b"a" * 4094 + b"\r\n \r\n") * 16
    with stage.connect() as connection:
        connection.send(stage.fill(CHUNKED))
        assert not all(connection.send_anyway(piece) for _ in range(256)), "all of it was taken"
        stage.check_error(connection.read_response(), {400, 413, 431})


# Bodies over the limit of 48 MiB


@pytest.mark.parametrize("size", [48 * MIB + 1, 10**12])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"], ids=["sent", "asked"])
def test_a_length_over_the_limit_is_refused_before_the_body(stage: Stage, size: int, expect: bytes) -> None:
    answer = stage.refused(b"<head>Content-Length: %d\r\n%b\r\n" % (size, expect), {413}, closes=True)
    assert answer.interim == ()


@pytest.mark.parametrize(
    ("opening", "piece"),
    [(b"", b"100000\r\n" + b" " * MIB + b"\r\n"), (b"ffffffffffffff\r\n", b" " * MIB)],
    ids=["many chunks", "one chunk"],
)
def test_chunks_over_the_limit_are_refused_at_the_limit(stage: Stage, opening: bytes, piece: bytes) -> None:
    with stage.connect() as connection:
        connection.send(stage.fill(CHUNKED) + opening)
        taken = 0
        while taken < 80 and connection.send_anyway(piece):
            taken += 1
        stage.check_error(connection.read_response(), {413})
        assert connection.closed_by_server()
    stage.check_well()


# Smuggling: what stands behind a refused head is not a request


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
    ],
)
def test_what_follows_a_refused_head_is_never_a_request(stage: Stage, framing: bytes) -> None:
    stage.refused(b"<head>" + framing + b"\r\n0\r\n\r\n<post>\r\n<body>", {400, 501}, closes=True)
