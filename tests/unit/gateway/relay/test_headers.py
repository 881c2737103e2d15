"""What of a head travels on, up and down, and how an upstream's errors are put."""

from __future__ import annotations

import json

import pytest
from tests.unit.gateway.messages import DONE, KEY, LAST, chat
from tests.unit.gateway.stage import Stage

FORWARDED = {
    "user-agent": "OpenAI/Python 3.52",
    "accept": "application/json",
    "content-type": "application/json",
    "x-stainless-lang": "python",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-custom": "a, b",
}
DROPPED = {
    "cookie": "session=1",
    "proxy-authorization": "Basic x",
    "te": "trailers",
    "keep-alive": "timeout=5",
    "x-request-id": "chosen-by-the-client",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "evil.test",
    "forwarded": "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "accept-encoding": "gzip",
}


# What a browser says of the page that asks: some servers turn away whoever names a page.
OF_A_PAGE = {
    "origin": "https://page.test",
    "referer": "https://page.test/chat",
    "sec-fetch-mode": "cors",
    "sec-ch-ua": '"A";v="1"',
}


def lines(fields: dict[str, str]) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name.title().encode(), value.encode()) for name, value in fields.items())


def test_headers_on_the_way_up(stage: Stage) -> None:
    client = stage.client().send(chat(headers=lines(FORWARDED | DROPPED)))
    request = stage.server.last.request
    for name, value in FORWARDED.items():
        assert request.header(name) == value
    for name in DROPPED.keys() - {"x-request-id"}:
        assert request.header(name) is None, name
    assert request.header("host") == "up.test:8001"
    assert request.header("authorization") == "Bearer upstream-secret"
    stage.server.last.answer()
    assert request.header("x-request-id") == client.answer().header("x-request-id") != "chosen-by-the-client"


@pytest.mark.parametrize(
    "label", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk"]
)
def test_what_an_upstream_gets_is_labelled_as_json_and_of_no_page(stage: Stage, label: str) -> None:
    """`curl -d` says that its body is a form."""
    headers = lines(OF_A_PAGE | ({"content-type": label} if label else {}) | {"x-custom": "a"})
    client = stage.client()
    for _ in range(2):  # the second head is recognised
        client.send(chat(headers=headers))
        request = stage.server.last.requests[-1]
        assert request.header("content-type") == "application/json"
        assert not any(request.header(name) for name in OF_A_PAGE)
        assert request.header("x-custom") == "a"
        stage.server.last.answer()


def test_the_client_s_key_never_reaches_the_upstream(stage: Stage) -> None:
    for request in (
        chat(),
        chat(headers=b"X-Api-Key: %b\r\n" % KEY.encode()),
        chat().replace(b"Authorization: Bearer", b"X-API-Key:"),
    ):
        stage.client().send(request)
    for connection in stage.server.connections:
        assert KEY.encode() not in bytes(connection.transport.taken)
        assert connection.request.header("x-api-key") is None


def test_what_connection_nominates_ends_here(stage: Stage) -> None:
    nominated = b"Connection: X-Hop, keep-alive,x-other\r\nX-Hop: 1\r\nX-Other: 2\r\nX-Hopper: 3\r\n"
    stage.client().send(chat(headers=nominated))
    request = stage.server.last.request
    assert request.header("connection") is None
    assert request.header("x-hop") is None
    assert request.header("x-other") is None
    assert request.header("x-hopper") == "3"


def test_an_upstream_without_a_key_gets_none(make_stage: object) -> None:
    stage: Stage = make_stage(  # type: ignore[operator]
        '[[upstreams]]\nname="up"\nkind="openai"\nbase_url="http://[::1]:80/v1/"\n'
        '[[models]]\nname="m"\ntargets=[{upstream="up"}]\n'
    )
    stage.client().ask()
    request = stage.server.last.request
    assert request.header("authorization") is None
    assert request.header("host") == "[::1]"
    assert request.target == "/v1/chat/completions"


GIVEN_DOWN = b"x-ds-trace-id: abc\r\nretry-after: 7\r\ncontent-language: zh\r\n"
NOT_GIVEN_DOWN = (
    b"set-cookie: a=b\r\nserver: nginx\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nx-request-id: theirs\r\n"
    b"alt-svc: h3\r\nstrict-transport-security: max-age=1\r\nkeep-alive: timeout=1\r\nx-api-version: 9\r\n"
    b"access-control-allow-origin: *\r\n"
)


@pytest.mark.parametrize("kind", ["plain", "error", "stream"])
def test_headers_on_the_way_down(stage: Stage, kind: str) -> None:
    client = stage.client().ask(stream=kind == "stream")
    headers = GIVEN_DOWN + NOT_GIVEN_DOWN
    if kind == "stream":
        stage.server.last.begin_stream(headers).stream(LAST, DONE).end_stream()
    else:
        stage.server.last.answer(headers=headers, status=200 if kind == "plain" else 429)
    answer = client.answer()
    assert answer.header("x-ds-trace-id") == "abc"
    assert answer.header("retry-after") == "7"
    assert answer.header("content-language") == "zh"
    for line in NOT_GIVEN_DOWN.decode().splitlines():
        name, _, value = line.partition(": ")
        assert answer.header(name) != value, name
    assert answer.header("content-type") is not None


ERROR = {"error": {"message": "bad", "type": "invalid_request_error", "param": "x", "code": "their_code"}}


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 413, 422, 429, 500, 501, 503, 599])
def test_an_error_object_is_passed_on_with_its_status(stage: Stage, status: int) -> None:
    client = stage.client().ask()
    stage.server.last.answer(b"\n\n " + json.dumps(ERROR).encode() + b"\n", status)
    answer = client.answer()
    assert answer.status == status
    assert answer.json() == ERROR
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (status, "their_code")
    assert (settled.prompt_tokens, settled.estimated) == (0, False)


@pytest.mark.parametrize(
    "label", [b"application/octet-stream", b"text/plain; charset=utf-8", b"application/json"]
)
def test_an_error_is_relabelled_as_json(stage: Stage, label: bytes) -> None:
    client = stage.client().ask()
    body = json.dumps(ERROR).encode()
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    stage.server.last.say(head % (label, len(body)) + body)
    assert client.answer().header("content-type") == "application/json"
    assert client.answer().json() == ERROR


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Bad\nGateway</title></html>",
        b"",
        b'"busy"',
        b"[]",
        b'{"detail":"Not Found"}',
        b'{"error":"a string"}',
        b'{"error":null}',
        b"\xff\xfe",
        b"x" * 5000,
    ],
)
def test_what_is_no_error_object_is_wrapped_in_one(stage: Stage, body: bytes) -> None:
    client = stage.client().ask()
    stage.server.last.answer(body, 503)
    answer = client.answer()
    assert answer.status == 503
    assert answer.header("content-type") == "application/json"
    assert '"up"' in answer.error["message"]
    assert answer.error["type"] == "service_unavailable_error"
    assert len(answer.body) < 1500
    assert stage.settled[0].status == 503


@pytest.mark.parametrize("code", [5, None, "", ["x"], {"a": 1}, "x" * 5000])
def test_codes_of_all_types_are_passed_on_and_can_be_settled(stage: Stage, code: object) -> None:
    client = stage.client().ask()
    body = {"error": {"message": "m", "type": "t", "param": None, "code": code}}
    stage.server.last.answer(json.dumps(body).encode(), 400)
    assert client.answer().json() == body
    assert 0 < len(stage.settled[0].code) <= 80


def test_a_refusal_of_our_credential_is_ours_to_explain(stage: Stage) -> None:
    client = stage.client().ask()
    shown = b'{"error":{"message":"Your api key: ****cret is invalid","type":"authentication_error"}}'
    stage.server.last.answer(shown, 401, headers=b"www-authenticate: Bearer\r\n")
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (502, "upstream_misconfigured")
    assert b"cret" not in answer.body
    assert answer.header("www-authenticate") is None
    assert stage.settled[0].status == 502


def test_no_answer_holds_a_secret(stage: Stage) -> None:
    stage.server.refuses = OSError(1, "no")
    client = stage.client().ask()
    for request in (chat(b"{}"), chat().replace(KEY.encode(), b"sk-wrong-0123456789abcdef")):
        client.send(request)
    assert KEY.encode() not in client.bytes
    assert b"upstream-secret" not in client.bytes
    assert b"0123456789" not in client.bytes


@pytest.mark.parametrize("value", [b"a\rb", b"a\x00b"])
def test_a_header_that_could_split_the_answer_is_garbage(stage: Stage, value: bytes) -> None:
    client = stage.client().ask()
    stage.server.last.answer(headers=b"x-evil: " + value + b"\r\n")
    assert client.answer().status == 502
    assert client.answer().header("x-evil") is None
