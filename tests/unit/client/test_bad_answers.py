"""What bad answers become, over both transports: errors in any form, good statuses with bad contents."""

from __future__ import annotations

import gzip

import pytest

from abyssal import (
    AbyssalError,
    ApiConnectionError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    InsufficientBalanceError,
    InternalServerError,
    NotFoundError,
    ProtocolError,
)
from abyssal.wire.errors import error_for_status

from .face import KEY, Face
from .raw_server import Peer, RawServer, answer, completion, error_body

HTML = b"<html><head><title>Bad\n Gateway</title></head><body>" + b"x" * 500 + b"</body></html>"


@pytest.mark.parametrize(
    ("status", "content", "kind", "words"),
    [
        (400, b"bad thing", "text/plain", "answered 400 with text/plain: 'bad thing'"),
        (401, b"", "text/plain", "answered 401 without a content"),
        (404, HTML, "text/html; charset=utf-8", r"answered 404 with text/html: 'Bad\n Gateway'"),
        (400, b'{"error": {"message": "octets"}}', "application/octet-stream", "octets"),
        (400, b'{"error": "a string"}', "application/json", "a string"),
        (400, b'{"message": "at the top", "code": 5}', "application/json", "at the top"),
        (422, b'{"detail": [{"loc": ["body"], "msg": "missing"}]}', "application/json", "missing"),
        (400, b'{"error": {"code": "c"}}', "application/json", "answered 400 with application/json"),
        (400, b'{"error": null}', "application/json", "answered 400"),
        (400, b"[1, 2]", "application/json", r"[1, 2]"),
        (400, b"\xff\xfe", "application/json", "answered 400"),
        (400, b"y" * 5000, "text/plain", "y…"),
    ],
)
def test_errors_in_any_form(
    server: RawServer, face: Face, status: int, content: bytes, kind: str, words: str
) -> None:
    server.will(answer(content, status, content_type=kind))
    with pytest.raises(error_for_status(status)) as caught:
        face.create()
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"{", "application/json", "not a chat completion"),
        (b"", "application/json", "without a content"),
        (b'{"choices": []}', "application/json", "no choices"),
        (b"{}", "application/json", "no choices"),
        (b"[]", "application/json", "Expected `object`, got `array`"),
        (b'{"choices": [{"message": {"content": 5}}]}', "application/json", "$.choices[0].message.content"),
        (b"[" * 100_000, "application/json", "not a chat completion"),
        (b"\xff", "application/json", "not a chat completion"),
        (HTML, "text/html", "Is base_url right?"),
    ],
)
def test_good_statuses_with_bad_contents(
    server: RawServer, face: Face, content: bytes, kind: str, words: str
) -> None:
    server.will(answer(content, content_type=kind))
    with pytest.raises(ProtocolError) as caught:
        face.create()
    assert words in str(caught.value)
    assert len(server.requests) == 1


def test_an_error_behind_a_good_status(server: RawServer, face: Face) -> None:
    server.will(answer(error_body("top up", code="insufficient_balance")))
    with pytest.raises(InsufficientBalanceError, match="top up"):
        face.create()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(server: RawServer, face: Face, status: int) -> None:
    server.will(answer(b"", status, location="https://elsewhere.example/v1"))
    with pytest.raises(ProtocolError, match=r"elsewhere\.example.*base_url"):
        face.create()
    assert len(server.requests) == 1


def test_what_is_no_http_at_all(server: RawServer, face: Face) -> None:
    def speak_ssh(peer: Peer) -> None:
        peer.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        peer.close()

    server.will(speak_ssh)
    with pytest.raises((ProtocolError, ApiConnectionError)):
        face.create()


@pytest.mark.parametrize("way", ["sync-pyreqwest", "async-pyreqwest"])
def test_compressed_answers(server: RawServer, face: Face) -> None:
    server.will(answer(gzip.compress(completion()), content_encoding="gzip"))
    assert face.create().choices[0].message.content == "Hello!"
    assert "gzip" in server.requests[0].headers["accept-encoding"]


@pytest.mark.parametrize("way", ["sync-pyreqwest", "async-pyreqwest"])
def test_an_answer_that_is_not_compressed_as_it_says(server: RawServer, face: Face) -> None:
    server.will(answer(completion(), content_encoding="gzip"))
    with pytest.raises((ProtocolError, ApiConnectionError)):
        face.create()


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, NotFoundError), (400, BadRequestError)]
)
def test_errors_are_caught_by_their_kin(
    server: RawServer, face: Face, status: int, kind: type[AbyssalError]
) -> None:
    server.will(answer(error_body(), status))
    for caught in (kind, ApiError, AbyssalError):
        with pytest.raises(caught):
            face.create()


def test_the_key_is_taken_out_of_what_a_server_echoes(server: RawServer, face: Face) -> None:
    server.will(
        answer(error_body(f"{KEY} is invalid"), 401),
        answer(f"no {KEY} here".encode(), 401, content_type="text/plain"),
        answer(f'{{"x": "{KEY}"}}'.encode()),
        answer(error_body(f"{KEY} is invalid", code="internal_error")),
    )
    for _ in range(4):
        with pytest.raises(AbyssalError) as caught:
            face.create()
        assert KEY not in str(caught.value)
        assert KEY not in repr(vars(caught.value))
        assert "****" in str(caught.value)


def test_5xx_without_a_class_of_its_own(server: RawServer, face: Face) -> None:
    server.will(answer(error_body(), 529))
    with pytest.raises(InternalServerError) as caught:
        face.create()
    assert caught.value.status_code == 529
