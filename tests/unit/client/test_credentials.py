"""Each way to prove who one is, as a server sees it; blocking and asyncio, over both transports."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest

from abyssal import (
    AbyssalError,
    AuthenticationError,
    BadRequestError,
    ProtocolError,
    UnavailableError,
)
from abyssal.client.credentials.client_credentials import ClientCredentials, service_root
from abyssal.client.credentials.json_web_token import JsonWebToken
from abyssal.client.credentials.request_signature import RequestSignature
from abyssal.client.request import Endpoint
from abyssal.client.settings import parse_base_url

from .face import Face, opened_face
from .raw_server import DONE, RawServer, Received, answer, chunk, completion, error_body, stream

SECRET = "cs_/very+secret="
CLIENT = {"api_key": None, "client_id": "client_1", "client_secret": SECRET}
JWT = CLIENT | {"auth": "jwt"}
HMAC = {"api_key": None, "key_id": "sig_1", "secret": SECRET}
OK = answer(completion())
REFUSED = answer(error_body("who are you?"), 401)
UNIX = 1_800_000_000  # where a ManualClock's wall clock starts


def token(text: str, **fields: Any) -> bytes:
    return answer(
        json.dumps({"access_token": text, "token_type": "Bearer", "expires_in": 3600} | fields).encode()
    )


@contextmanager
def client(way: str, server: RawServer, **proofs: Any) -> Iterator[Face]:
    with opened_face(way, server.url, **proofs) as face:
        yield face


def told_of(error: AbyssalError) -> str:
    """All that `error` shows, the variables of our own frames included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if "/abyssal/client/" in frame.filename]
    assert frames
    return f"{error!r} {error} {error.__dict__} {[frame.locals for frame in frames]}"


def seen(server: RawServer) -> list[str]:
    """What was asked for, in order: the path, and the bearer token that came along."""
    return [
        f"{one.target} {one.headers.get('authorization', '-').removeprefix('Bearer ')}"
        for one in server.requests
    ]


ASKED = "/v1/chat/completions"

# Access tokens


def test_a_token_is_fetched_at_first_need_and_used_from_then_on(server: RawServer, way: str) -> None:
    server.will(token("t1"), OK, OK)
    with client(way, server, **CLIENT) as face:
        assert server.requests == []
        assert face.create().choices[0].message.content == "Hello!"
        face.create()
    assert seen(server) == ["/oauth/token -", f"{ASKED} t1", f"{ASKED} t1"]
    form = parse_qs(server.requests[0].body.decode())
    assert form == {
        "grant_type": ["client_credentials"],
        "client_id": ["client_1"],
        "client_secret": [SECRET],
    }
    assert server.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"


def test_it_is_renewed_before_it_ends(server: RawServer, way: str) -> None:
    server.will(token("t1"), OK, OK, token("t2"), OK)
    with client(way, server, **CLIENT) as face:
        face.create()
        face.clock.advance(3539)
        face.create()
        face.clock.advance(2)
        face.create()
    assert seen(server) == ["/oauth/token -", f"{ASKED} t1", f"{ASKED} t1", "/oauth/token -", f"{ASKED} t2"]


def test_and_once_more_after_a_401(server: RawServer, way: str) -> None:
    server.will(token("t1"), OK, REFUSED, token("t2"), OK, REFUSED, token("t3"), REFUSED)
    with client(way, server, max_retries=0, **CLIENT) as face:
        face.create()
        face.create()
        with pytest.raises(AuthenticationError, match="who are you"):
            face.create()
    bearers = [line.split()[1] for line in seen(server)]
    assert bearers == ["-", "t1", "t1", "-", "t2", "t2", "-", "t3"]


def test_streams_too(server: RawServer, way: str) -> None:
    whole = stream(chunk("Hi", finish="stop"), DONE)
    server.will(token("t1"), REFUSED, token("t2"), whole)
    with client(way, server, **CLIENT) as face:
        assert face.texts(face.open()) == ["Hi"]
    assert seen(server)[1::2] == [f"{ASKED} t1", f"{ASKED} t2"]


def test_a_fetch_that_fails_is_tried_again_as_the_call_would_be(server: RawServer, way: str) -> None:
    server.will(answer(b"", 503), token("t1"), OK)
    with client(way, server, **CLIENT) as face:
        face.create()
        assert face.sleeps == [0.5]
    server.will(answer(b"", 503))
    with client(way, server, max_retries=1, **CLIENT) as face, pytest.raises(UnavailableError):
        face.create()


def test_a_renewal_that_fails_harms_nobody_while_the_token_is_good(server: RawServer, way: str) -> None:
    server.will(token("t1"), OK, answer(b"", 503), OK, OK)
    with client(way, server, **CLIENT) as face:
        face.create()
        face.clock.advance(3550)
        face.create()
        face.create()
    assert seen(server)[2:] == ["/oauth/token -", f"{ASKED} t1", f"{ASKED} t1"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "said", "code"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "not so"},
            AuthenticationError,
            "not so",
            "invalid_client",
        ),
        (400, {"error": "invalid_scope"}, BadRequestError, "invalid_scope", "invalid_request"),
        (404, {"error": {"message": "no such route"}}, AbyssalError, "no such route", "not_found"),
    ],
)
def test_what_the_token_endpoint_refuses(
    server: RawServer, way: str, status: int, body: dict[str, Any], kind: type[Any], said: str, code: str
) -> None:
    server.will(answer(body, status))
    with client(way, server, **CLIENT) as face, pytest.raises(kind, match=said) as caught:
        face.create()
    assert caught.value.code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"\xff",
        b'{"access_token": "leaked"}',
        b'{"access_token": "leaked", "token_type": "mac"}',
        b'{"access_token": "leaked\\r\\nx: y", "token_type": "bearer"}',
        b'{"access_token": "leaked", "token_type": "bearer", "expires_in": 0}',
        b'{"access_token": ["leaked"], "token_type": "bearer"}',
    ],
)
def test_what_is_no_token_is_told_without_it(server: RawServer, body: bytes) -> None:
    server.will(answer(body))
    for way in ("sync-direct", "async-direct"):
        with client(way, server, **CLIENT) as face, pytest.raises(ProtocolError) as caught:
            face.create()
        assert "leaked" not in told_of(caught.value)
        assert "/oauth/token" in str(caught.value)


def test_a_life_told_as_text_and_one_not_told(server: RawServer) -> None:
    server.will(token("t1", expires_in="600"), OK, OK, token("t2", expires_in=None), OK)
    untold = answer(b'{"access_token": "t3", "token_type": "bearer"}')
    with client("sync-direct", server, **CLIENT) as face:
        face.create()
        face.clock.advance(530)
        face.create()
    assert [line.split()[1] for line in seen(server)] == ["-", "t1", "t1"]
    server.requests.clear()
    server.will(untold, OK, untold, OK)
    with client("sync-direct", server, **CLIENT) as face:
        face.create()
        face.clock.advance(241)
        face.create()
    assert [line.split()[1] for line in seen(server)] == ["-", "t3", "-", "t3"]


def test_a_callers_own_authorization_takes_the_place_of_ours(server: RawServer, way: str) -> None:
    server.will(OK)
    for proofs in (CLIENT, JWT, HMAC):
        with client(way, server, **proofs) as face:
            face.create(extra_headers={"Authorization": "Bearer mine"})
    assert seen(server) == [f"{ASKED} mine"] * 3
    assert not any("x-api-key" in one.headers for one in server.requests)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://h/v1", "http://h/oauth/token"),
        ("http://h", "http://h/oauth/token"),
        ("http://h/beta/", "http://h/oauth/token"),
        ("https://h:8443/abyssal/v1", "https://h:8443/abyssal/oauth/token"),
    ],
)
def test_the_token_endpoint_is_beside_the_api(url: str, place: str) -> None:
    base = parse_base_url(url)
    assert ClientCredentials(base, "i", "s").fetching.endpoint.url == place
    assert f"{service_root(base)}/oauth/token" == place


# Tokens of one's own


def opened(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT whose signature holds."""
    head, claims, signature = text.split(".")
    expected = hmac.digest(SECRET.encode(), f"{head}.{claims}".encode(), "sha256")
    assert base64.urlsafe_b64decode(signature + "=") == expected
    assert "=" not in text
    return tuple(
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, claims)
    )  # type: ignore[return-value]


def test_a_jwt_is_signed_here_and_again_before_it_ends(server: RawServer, way: str) -> None:
    server.will(OK)
    with client(way, server, **JWT) as face:
        for seconds in (0, 3539, 1):
            face.clock.advance(seconds)
            face.create()
    first, second, third = (line.split()[1] for line in seen(server))
    assert first == second
    assert opened(first) == (
        {"alg": "HS256", "typ": "JWT"},
        {"iss": "client_1", "iat": UNIX, "exp": UNIX + 3600},
    )
    assert opened(third)[1] == {"iss": "client_1", "iat": UNIX + 3540, "exp": UNIX + 7140}


def test_a_refused_jwt_is_signed_anew_once(server: RawServer, way: str) -> None:
    server.will(REFUSED)
    with client(way, server, **JWT) as face, pytest.raises(AuthenticationError):
        face.create()
    assert len(server.requests) == 2


def test_jwts_of_any_length_have_no_padding() -> None:
    for length in range(1, 8):
        way = JsonWebToken("i" * length, SECRET)
        fields = way.proof(Endpoint("GET", parse_base_url("http://h"), "/", {}), b"", UNIX * 10**9)
        assert opened(fields["authorization"].removeprefix("Bearer "))[1]["iss"] == "i" * length


# Signatures


def check_signature(request: Received, at: int) -> str:
    """That the request is signed as platform-api section 1 says; its nonce."""
    fields = request.headers
    parts = [request.method, request.target, request.body.decode(), str(at), fields["x-api-nonce"]]
    mac = hmac.new(SECRET.encode(), "\n".join(parts).encode(), hashlib.sha256).digest()
    assert fields["x-api-signature"] == base64.b64encode(mac).decode()
    assert (fields["x-api-key"], fields["x-api-timestamp"]) == ("sig_1", str(at))
    assert "authorization" not in fields
    assert SECRET not in str(fields)
    return fields["x-api-nonce"]


def test_each_request_is_signed_and_a_retry_anew(server: RawServer, way: str) -> None:
    server.will(answer(b"", 503), OK, answer({"data": []}), answer({"x": 1}))
    with client(way, server, **HMAC) as face:
        face.create(messages=[{"role": "user", "content": "深海 🐋"}])
        face.clock.advance(100)
        face.run(face.client.models.list())
        face.run(face.client.request("get", "/files?limit=2&after=a%20b[]"))
    moments = [UNIX, UNIX, UNIX + 100, UNIX + 100]  # the wait for the retry was half a second
    nonces = {check_signature(*pair) for pair in zip(server.requests, moments, strict=True)}
    assert len(nonces) == 4
    assert server.requests[3].target == "/v1/files?limit=2&after=a%20b[]"


def test_a_refused_signature_is_not_tried_again(server: RawServer, way: str) -> None:
    server.will(REFUSED)
    with client(way, server, **HMAC) as face, pytest.raises(AuthenticationError):
        face.create()
    assert len(server.requests) == 1


def test_no_nonce_comes_twice() -> None:
    way = RequestSignature("sig_1", SECRET)
    place = Endpoint("GET", parse_base_url("http://h"), "/", {})
    nonces = {way.proof(place, b"", UNIX * 10**9)["x-api-nonce"] for _ in range(1000)}
    assert len(nonces) == 1000


# Secrets


@pytest.mark.parametrize("proofs", [CLIENT, JWT, HMAC], ids=["oauth", "jwt", "hmac"])
def test_nothing_shows_a_secret_or_a_token(server: RawServer, way: str, proofs: dict[str, Any]) -> None:
    echo = answer({"error": {"message": f"bad: {SECRET} or topsecret"}}, 403)
    server.will(token("topsecret"), echo) if proofs is CLIENT else server.will(echo)
    with client(way, server, max_retries=0, **proofs) as face:
        with pytest.raises(AbyssalError) as caught:
            face.create()
        core = face.client._caller.core
        call = core.chat({"model": "m", "messages": []}, stream=False)
        things = [face.client, core, core.secret, core.prover, call, call.request(), call.endpoint]
        things += [core.prover.fetching, core.prover.fetching and core.prover.fetching.body]
        if proofs is JWT:
            bearer = server.requests[0].headers["authorization"].removeprefix("Bearer ")
            assert core.secret.blotted_out(bearer.encode()) == b"****"
    text = "".join([*map(repr, things), *map(str, things)])
    text += told_of(caught.value)
    assert SECRET not in text
    if proofs is CLIENT:
        assert "topsecret" not in text
