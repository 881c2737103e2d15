"""What HTTP/1.1 allows and a strict server must take: messages, methods, expectations, pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from abyssal.testing import Answer

if TYPE_CHECKING:
    from conftest import Stage

MIB = 1024 * 1024
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
CALL = b"<post>\r\n<body>"
CHUNKED = b"<head>Transfer-Encoding: chunked\r\n\r\n"
STREAM_BODY = b'{"model":"test-model","stream":true,"messages":[{"role":"user","content":"hi"}]}'
STREAM = b"<head>Content-Length: %d\r\n\r\n%b" % (len(STREAM_BODY), STREAM_BODY)


def host(value: bytes) -> bytes:
    return b"<line>Host: " + value + b"\r\n<auth>Content-Length: <size>\r\n\r\n<body>"


def with_line(line: bytes) -> bytes:
    return line + b"\r\n<rest>\r\n<body>"


def with_headers(lines: bytes) -> bytes:
    return b"<post>" + lines + b"\r\n<body>"


GOOD = {
    "plain": CALL,
    "chunked": CHUNKED + b"<hex>\r\n<body>\r\n0\r\n\r\n",
    "coding in another case": b"<head>TRANSFER-ENCODING: Chunked\r\n\r\n<hex>\r\n<body>\r\n0\r\n\r\n",
    "chunk size with zeros": CHUNKED + b"000<hex>\r\n<body>\r\n000\r\n\r\n",
    "chunk extensions": CHUNKED + b'<hex>;a=b;c="d e"\r\n<body>\r\n0;e\r\n\r\n',
    "trailers": CHUNKED + b"<hex>\r\n<body>\r\n0\r\nX-Checksum: 1\r\nX-B: c\r\n\r\n",
    "an empty line before": b"\r\n" + CALL,
    "absolute target": with_line(b"POST http://a/v1/chat/completions HTTP/1.1"),
    "query": with_line(b"POST /v1/chat/completions?api-version=1&a=%20 HTTP/1.1"),
    "the other path": with_line(b"POST /chat/completions HTTP/1.1"),
    "HTTP/1.0 without Host": (
        b"POST /v1/chat/completions HTTP/1.0\r\n<auth>Content-Length: <size>\r\n\r\n<body>"
    ),
    "host with a port": host(b"example.com:8000"),
    "host as IPv4": host(b"127.0.0.1:8000"),
    "host as IPv6": host(b"[::1]:8000"),
    "host with an underscore": host(b"abyssal_gateway"),
    "names in any case": b"<line>hOST: a\r\n<auth>cONTENT-lENGTH: <size>\r\n\r\n<body>",
    "no space after the colon": b"<line>Host:a\r\n<auth>Content-Length:<size>\r\n\r\n<body>",
    "much space around a value": with_headers(b"X-A: \t  b \t \r\n"),
    "empty value": with_headers(b"X-A:\r\n"),
    "tab in a value": with_headers(b"X-A: b\tc\r\n"),
    "bytes over 127 in a value": with_headers(b"X-A: \xe9\xff\r\n"),
    "every character of a token": with_headers(b"!#$%&'*+-.^_`|~09azAZ: b\r\n"),
    "100 headers": with_headers(b"".join(b"X-%d: v\r\n" % number for number in range(97))),
    "30 KiB of headers": with_headers(b"".join(b"X-%d: %b\r\n" % (n, b"v" * 7500) for n in range(4))),
    "an upgrade to what is not known": with_headers(
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    ),
    "TE": with_headers(b"TE: trailers\r\nConnection: TE\r\n"),
    "content length with zeros": b"<head>Content-Length: 00<size>\r\n\r\n<body>",
}


@pytest.mark.parametrize("wire", list(GOOD.values()), ids=list(GOOD))
def test_what_is_good_is_answered(stage: Stage, wire: bytes) -> None:
    assert stage.answered(wire).json()["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize(
    "line", [b"POST  /v1/chat/completions HTTP/1.1", b"POST /v1/chat/completions  HTTP/1.1"]
)
def test_more_than_one_space_in_the_request_line(stage: Stage, line: bytes) -> None:
    """RFC 9112 §3 lets a server split at any run of spaces, or refuse; nothing between."""
    with stage.connect() as connection:
        connection.send(stage.fill(with_line(line)))
        answer = connection.read_response()
    if answer.status != 200:
        stage.check_error(answer, {400})


def test_credentials_and_hop_by_hop_headers_stop_here(stage: Stage) -> None:
    hops = b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: p\r\n"
    stage.answered(with_headers(hops))
    request = stage.upstream.requests[-1]
    assert request.header("authorization") == "Bearer upstream-secret"
    assert stage.server.api_key not in str(request.headers)
    for name in ("x-hop", "te", "proxy-authorization"):
        assert request.header(name) is None, name


def test_a_request_byte_by_byte(stage: Stage) -> None:
    with stage.connect() as connection:
        assert connection.send_slowly(stage.fill(CALL), 1, 0.0)
        assert connection.read_response().status == 200


def test_a_request_in_two_pieces_cut_anywhere(stage: Stage) -> None:
    wire = stage.fill(CHUNKED + b"<hex>;e=f\r\n<body>\r\n0\r\nA: b\r\n\r\n")
    with stage.connect() as connection:
        for at in range(1, len(wire)):
            connection.send(wire[:at])
            connection.send(wire[at:])
            assert connection.read_response().status == 200, wire[:at]


def test_a_body_of_the_limit_is_read(stage: Stage) -> None:
    padded = stage.fill(b"<body>").ljust(48 * MIB)
    with stage.connect(timeout=60) as connection:
        connection.send(stage.fill(b"<head>Content-Length: %d\r\n\r\n" % len(padded)) + padded)
        assert connection.read_response().status == 200


# Methods and paths


@pytest.mark.parametrize("method", [b"BREW", b"get", b"PROPFIND", b"X"])
def test_unknown_methods(stage: Stage, method: bytes) -> None:
    stage.refused(method + b" /healthz HTTP/1.1\r\nHost: a\r\n\r\n", {405, 501}, closes=False)


@pytest.mark.parametrize("target", [b"*", b"/healthz#a"], ids=["asterisk", "fragment"])
def test_targets_that_name_no_resource(stage: Stage, target: bytes) -> None:
    stage.refused(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", {400, 404}, closes=False)


def test_connect_makes_no_tunnel(stage: Stage) -> None:
    wire = b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n"
    stage.refused(wire, {400, 404, 405, 501}, closes=False)


@pytest.mark.parametrize(
    "path", [b"/v2/chat/completions", b"/v1/chat/completions/", b"/v1//chat/completions", b"/x?y", b"/%00"]
)
def test_unknown_paths(stage: Stage, path: bytes) -> None:
    stage.refused(with_line(b"POST " + path + b" HTTP/1.1"), {404}, closes=False)


@pytest.mark.parametrize(
    ("line", "allow"),
    [
        (b"GET /v1/chat/completions", "POST"),
        (b"PUT /chat/completions", "POST"),
        (b"DELETE /v1/models", "GET"),
        (b"POST /healthz", "GET"),
        (b"POST /", "GET"),
    ],
)
def test_wrong_methods_on_known_paths(stage: Stage, line: bytes, allow: str) -> None:
    answer = stage.refused(line + b" HTTP/1.1\r\nHost: a\r\n<auth>\r\n", {405}, closes=False)
    assert allow in [method.strip() for method in (answer.header("allow") or "").split(",")]


def test_a_head_request_gets_no_body(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.send(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        assert connection.read_response("HEAD").status in (200, 405)
        assert connection.read_response().status == 200


# Expectations


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_a_body_is_invited_and_then_answered(stage: Stage, value: bytes) -> None:
    with stage.connect() as connection:
        connection.send(stage.fill(b"<post>Expect: " + value + b"\r\n\r\n"))
        assert connection.read_response(interim=True).status == 100
        connection.send(stage.fill(b"<body>"))
        answer = connection.read_response()
        assert (answer.status, answer.interim) == (200, ())


def test_an_unknown_expectation_fails(stage: Stage) -> None:
    assert stage.refused(with_headers(b"Expect: the-unexpected\r\n"), {417}, closes=False).interim == ()


def test_http_1_0_gets_no_interim_answer(stage: Stage) -> None:
    wire = b"POST /v1/chat/completions HTTP/1.0\r\n<rest>Expect: 100-continue\r\n\r\n<body>"
    assert stage.answered(wire).interim == ()


# Connections


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    stage.upstream.enqueue(Answer.chat("slow").delayed(0.2), Answer.chat("fast"))
    models = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n<auth>\r\n"
    nowhere = with_line(b"POST /nowhere HTTP/1.1")
    with stage.connect() as connection:
        connection.send(stage.fill(CALL + GET + CALL + models + nowhere + GET))
        said = [connection.read_response() for _ in range(6)]
    assert [answer.status for answer in said] == [200, 200, 200, 200, 404, 200]
    texts = [answer.json()["choices"][0]["message"]["content"] for answer in (said[0], said[2])]
    assert texts == ["slow", "fast"]
    assert said[3].json()["object"] == "list"


def test_a_request_pipelined_behind_a_stream(stage: Stage) -> None:
    stage.upstream.enqueue(Answer.chat_stream(["a", "b", "c"], every=0.02))
    with stage.connect() as connection:
        connection.send(stage.fill(STREAM + GET))
        assert connection.read_response().body.endswith(b"data: [DONE]\n\n")
        assert connection.read_response().status == 200


def test_a_hundred_pipelined_requests(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.send(GET * 100)
        assert [connection.read_response().status for _ in range(100)] == [200] * 100


def test_thousands_of_requests_pipelined_behind_a_slow_one(stage: Stage) -> None:
    """They wait in a queue, and must not be answered from inside each other."""
    stage.upstream.enqueue(Answer.chat("slow").delayed(0.3))
    with stage.connect(timeout=30) as connection:
        connection.send(stage.fill(CALL + GET * 5000))
        assert [connection.read_response().status for _ in range(5001)] == [200] * 5001


def test_a_good_request_before_a_malformed_one_is_answered(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.send(stage.fill(CALL + b"GET /healthz HTTP/1.1\r\n\r\n"))
        assert connection.read_response().status == 200
        stage.check_error(connection.read_response(), {400})
        assert connection.closed_by_server()


def test_a_connection_outlives_errors_that_are_not_of_framing(stage: Stage) -> None:
    cases = [
        (with_line(b"POST /nowhere HTTP/1.1"), 404),
        (with_line(b"PUT /v1/chat/completions HTTP/1.1"), 405),
        (b"<head>Content-Length: 1\r\n\r\n{", 400),
        (b"<line>Host: a\r\nContent-Length: <size>\r\n\r\n<body>", 401),
        (CALL, 200),
    ]
    with stage.connect() as connection:
        for wire, status in cases:
            connection.send(stage.fill(wire))
            assert connection.read_response().status == status


@pytest.mark.parametrize(
    "wire",
    [with_headers(b"Connection: close\r\n"), with_line(b"POST /v1/chat/completions HTTP/1.0")],
    ids=["asked to close", "HTTP/1.0"],
)
def test_a_connection_ends_when_it_should(stage: Stage, wire: bytes) -> None:
    with stage.connect() as connection:
        connection.send(stage.fill(wire + GET))
        answer = connection.read_response()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert connection.closed_by_server()


def test_http_1_0_gets_no_chunks(stage: Stage) -> None:
    wire = STREAM.replace(b"<head>", b"POST /v1/chat/completions HTTP/1.0\r\nHost: a\r\n<auth>")
    answer = stage.answered(wire)
    assert answer.header("transfer-encoding") is None
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "part", [b"GET /heal", b"<head>", b"<head>Content-Length: 99\r\n\r\n{", CHUNKED + b"5\r\nab"]
)
def test_a_client_that_leaves_inside_a_request_is_forgotten(stage: Stage, part: bytes) -> None:
    before = len(stage.upstream.requests)
    with stage.connect() as connection:
        connection.send(stage.fill(part))
        connection.end_sending()
        left = connection.read_all()
    assert left == b"" or left.startswith(b"HTTP/1.1 400 ")
    assert len(stage.upstream.requests) == before
    stage.check_well()


def test_request_ids_are_unique_and_on_every_answer(stage: Stage) -> None:
    seen = [stage.answered(CALL).header("x-request-id") for _ in range(3)]
    assert all(seen)
    assert len(set(seen)) == 3
