"""Every way in on a running server with two workers: what is taken, and the one table of what is refused."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.system.calls import body, table, upstream
from tests.system.identities import Identities, b64url, jwt, unix_now
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from abyssal.testing import RunningServer, ScriptedUpstream, WireResponse

PATH = "/v1/chat/completions"
CALL = body("open", "hello")
LIMITS = "[identity]\nfailures_per_address = 100000\nfailures_per_key = 100000\n"
SOCKET = "/v1/chat/stream"
OVER_HTTP = ("POST", PATH, CALL)
OVER_WEBSOCKET = ("GET", SOCKET, b"")
Headers = dict[str, str]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(models=("upstream-model",)) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def ours(scripted: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identities]:
    config = table("[server]", workers=2) + LIMITS + upstream("open", scripted.base_url)
    with RunningServer(config, tmp_path_factory.mktemp("identity"), workers=2) as server:
        ours = Identities(server)
        ours.call = OVER_HTTP
        yield ours


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def ask(ours: Identities, headers: Headers, content: bytes = CALL) -> WireResponse:
    return ours.send("POST", PATH, {"Content-Type": "application/json"} | headers, content)


TAKEN: dict[str, Callable[[Identities], Headers]] = {
    "API key": lambda ours: bearer(ours.server.api_key),
    "API key in x-api-key": lambda ours: {"x-api-key": ours.server.api_key},
    "access token": lambda ours: bearer(ours.token()),
    "access token of one scope": lambda ours: bearer(ours.token(scope="chat")),
    "self-issued JWT": lambda ours: bearer(jwt(ours.claims(), ours.client["secret"].encode())),
    "JWT with a scope": lambda ours: bearer(jwt(ours.claims(scope="chat"), ours.client["secret"].encode())),
    "signed request": lambda ours: ours.signed("POST", PATH, CALL),
    "signed request, clock 299 s behind": lambda ours: ours.signed("POST", PATH, CALL, at=unix_now() - 299),
    "signed request, clock 299 s ahead": lambda ours: ours.signed("POST", PATH, CALL, at=unix_now() + 299),
    "message signature, ed25519": lambda ours: ours.message_signed("POST", PATH, CALL),
    "message signature, hmac": lambda ours: ours.message_signed("POST", PATH, CALL, key="hmac"),
}


@pytest.mark.parametrize("way", TAKEN)
def test_taken(ours: Identities, way: str) -> None:
    answer = ask(ours, TAKEN[way](ours))
    assert answer.status == 200, answer.body
    assert answer.json()["choices"]


@pytest.mark.parametrize("way", ["signed request", "message signature, ed25519"])
def test_a_target_with_a_query_and_no_body(ours: Identities, way: str) -> None:
    target = "/v1/models?limit=1&x=%2F"
    sign = ours.signed if way == "signed request" else ours.message_signed
    assert ours.send("GET", target, sign("GET", target)).status == 200


# --- refused -------------------------------------------------------------------------------------------------


def made(ours: Identities, kind: str, **fields: Any) -> dict[str, Any]:
    return ours.create(kind, **fields)


def revoked(ours: Identities) -> Headers:
    key = made(ours, "keys")
    assert ours.manage("POST", f"keys/{key['id']}/revoke").status == 200
    return bearer(key["secret"])


def revoked_token(ours: Identities) -> Headers:
    token = ours.token()
    assert ask(ours, bearer(token)).status == 200
    client = {"client_id": ours.client["id"], "client_secret": ours.client["secret"]}
    assert ours.form("/oauth/revoke", client | {"token": token}).status == 200
    return bearer(token)


def expired(ours: Identities) -> Headers:
    key = made(ours, "keys", expires_in=1)
    time.sleep(1.1)  # a real server's clock
    return bearer(key["secret"])


def replayed(ours: Identities, sign: Callable[..., Headers]) -> Headers:
    headers = sign(*ours.call)
    if ours.call == OVER_HTTP:
        assert ask(ours, headers).status == 200
    else:
        assert said_over_websocket(ours, headers) == ("", 1000)
    return headers


def said_over_websocket(
    ours: Identities, headers: Headers, first: dict[str, str] | None = None
) -> tuple[str, int]:
    """The error's code that a WebSocket tells ("" for an answer), and how it closes."""
    url = ours.server.url.replace("http", "ws", 1) + SOCKET
    words: dict[str, str] = {} if first is None else {"type": "request"}
    with connect(url, additional_headers=headers) as socket:
        with suppress(ConnectionClosed):
            if first is not None:
                socket.send(json.dumps(first))
            socket.send(json.dumps({"model": "open", "prompt": "hello"} | words))
        heard = json.loads(socket.recv(timeout=10))
        code = heard["error"]["code"] if heard.get("type") == "error" else ""
        with suppress(ConnectionClosed):
            while first is None or code not in ("", "scope_missing", "model_not_allowed"):
                socket.recv(timeout=5)
        return code, socket.close_code or 0


def swapped(token: str, **header: Any) -> str:
    """The same claims and signature under another header."""
    _, claims, signature = token.split(".")
    return f"{b64url(json.dumps(header).encode())}.{claims}.{signature}"


def with_public_key_as_secret(ours: Identities) -> Headers:
    """The old confusion: an HMAC under the public half of what tokens are signed with."""
    keys = ours.send("GET", "/.well-known/jwks.json", {}).json()["keys"]
    secret = json.dumps(keys[0]).encode()
    access = ours.token().split(".")[1]
    claims = base64.urlsafe_b64decode(access + "==").decode()
    return bearer(jwt(claims, secret, {"alg": "HS256", "typ": "at+jwt", "kid": keys[0]["kid"]}))


def own(ours: Identities, **fields: Any) -> Headers:
    return bearer(jwt(ours.claims(**fields), ours.client["secret"].encode()))


def own_header(ours: Identities, **header: Any) -> Headers:
    claims, secret = ours.claims(), ours.client["secret"].encode()
    return bearer(jwt(claims, secret, {"alg": "HS256", "typ": "JWT"} | header))


def changed(headers: Headers, **fields: str) -> Headers:
    return headers | {name.replace("_", "-"): value for name, value in fields.items()}


REFUSED: dict[str, tuple[Callable[[Identities], Headers], int, str]] = {
    "nothing": (lambda ours: {}, 401, "missing_api_key"),
    "malformed Authorization": (lambda ours: {"Authorization": "Bearer"}, 401, "invalid_api_key"),
    "another scheme": (lambda ours: {"Authorization": f"Token {ours.server.api_key}"}, 401, "invalid_api_key"),
    "Basic": (lambda ours: {"Authorization": "Basic dXNlcjpwYXNz"}, 401, "invalid_api_key"),
    "Basic with bad base64": (lambda ours: {"Authorization": "Basic %%%"}, 401, "invalid_api_key"),
    "two keys": (lambda ours: bearer(ours.server.api_key) | {"x-api-key": "sk-other"}, 400, "two_credentials"),
    "a key and a signed request": (
        lambda ours: bearer(ours.server.api_key)
        | {k: v for k, v in ours.signed(*ours.call).items() if k != "X-Api-Key"},
        400, "two_credentials",
    ),
    "a key and a message signature": (
        lambda ours: bearer(ours.server.api_key) | ours.message_signed(*ours.call), 400, "two_credentials",
    ),
    "a forged key": (lambda ours: bearer(ours.server.api_key[:-1] + "_"), 401, "invalid_api_key"),
    "an expired key": (expired, 401, "invalid_api_key"),
    "a revoked key": (revoked, 401, "invalid_api_key"),
    "outside the allowed network": (
        lambda ours: bearer(made(ours, "keys", networks=["192.0.2.0/24"])["secret"]), 401, "invalid_api_key",
    ),
    "scope missing": (
        lambda ours: bearer(made(ours, "keys", scopes=["embeddings"])["secret"]), 403, "scope_missing",
    ),
    "scope not in the token": (lambda ours: bearer(ours.token(scope="embeddings")), 403, "scope_missing"),
    "scope not in the JWT": (lambda ours: own(ours, scope="embeddings"), 403, "scope_missing"),
    "model not allowed": (
        lambda ours: bearer(made(ours, "keys", models=["other"])["secret"]), 403, "model_not_allowed",
    ),
    "an access token with another signature": (
        lambda ours: bearer(ours.token()[:-8] + "AAAAAAAA"), 401, "invalid_api_key",
    ),
    "a revoked access token": (revoked_token, 401, "invalid_api_key"),
    "an access token with algorithm none": (
        lambda ours: bearer(swapped(ours.token(), alg="none", typ="at+jwt")), 401, "invalid_api_key",
    ),
    "an access token as HS256": (with_public_key_as_secret, 401, "invalid_api_key"),
    "a JWT with algorithm none": (lambda ours: own_header(ours, alg="none"), 401, "invalid_api_key"),
    "a JWT as ES256": (lambda ours: own_header(ours, alg="ES256"), 401, "invalid_api_key"),
    "a JWT as HS512": (lambda ours: own_header(ours, alg="HS512"), 401, "invalid_api_key"),
    "a JWT with crit": (lambda ours: own_header(ours, crit=["exp"]), 401, "invalid_api_key"),
    "a JWT with jku": (lambda ours: own_header(ours, jku="http://127.0.0.1/keys"), 401, "invalid_api_key"),
    "a JWT with x5u": (lambda ours: own_header(ours, x5u="http://127.0.0.1/c"), 401, "invalid_api_key"),
    "a JWT with jwk": (lambda ours: own_header(ours, jwk={"kty": "oct", "k": "AA"}), 401, "invalid_api_key"),
    "an expired JWT": (lambda ours: own(ours, iat=unix_now() - 20, exp=unix_now() - 1), 401, "invalid_api_key"),
    "a JWT from the future": (lambda ours: own(ours, iat=unix_now() + 90), 401, "invalid_api_key"),
    "a JWT not yet good": (lambda ours: own(ours, nbf=unix_now() + 90), 401, "invalid_api_key"),
    "a JWT that lives too long": (lambda ours: own(ours, exp=unix_now() + 90_000), 401, "invalid_api_key"),
    "a JWT without exp": (lambda ours: own(ours, exp=None), 401, "invalid_api_key"),
    "a JWT without iat": (lambda ours: own(ours, iat=None), 401, "invalid_api_key"),
    "a JWT without iss": (lambda ours: own(ours, iss=None), 401, "invalid_api_key"),
    "a JWT of nobody": (lambda ours: own(ours, iss="client_00000000000000000000"), 401, "invalid_api_key"),
    "a JWT for somebody else": (lambda ours: own(ours, aud="https://elsewhere.test"), 401, "invalid_api_key"),
    "a JWT with a wrong secret": (
        lambda ours: bearer(jwt(ours.claims(), b"cs_wrong")), 401, "invalid_api_key",
    ),
    "a huge JWT": (lambda ours: own(ours, pad="x" * 9000), 401, "invalid_api_key"),
    "a replayed signed request": (lambda ours: replayed(ours, ours.signed), 401, "invalid_api_key"),
    "skewed by 301 s": (
        lambda ours: ours.signed(*ours.call, at=unix_now() - 302), 401, "invalid_api_key",
    ),
    "ahead by 301 s": (
        lambda ours: ours.signed(*ours.call, at=unix_now() + 302), 401, "invalid_api_key",
    ),
    "a body changed by a byte": (
        lambda ours: ours.signed("POST", PATH, CALL.replace(b"hello", b"hellp")), 401, "invalid_api_key",
    ),
    "another path": (lambda ours: ours.signed("POST", "/chat/completions", CALL), 401, "invalid_api_key"),
    "another method": (lambda ours: ours.signed("GET", PATH, CALL), 401, "invalid_api_key"),
    "no nonce": (
        lambda ours: {k: v for k, v in ours.signed(*ours.call).items() if k != "X-Api-Nonce"},
        401, "invalid_api_key",
    ),
    "an unknown signing key": (
        lambda ours: changed(ours.signed(*ours.call), X_Api_Key="sig_00000000000000000000"),
        401, "invalid_api_key",
    ),
    "a client's id as a signing key": (
        lambda ours: changed(ours.signed(*ours.call), X_Api_Key=ours.client["id"]), 401, "invalid_api_key",
    ),
    "a replayed message signature": (lambda ours: replayed(ours, ours.message_signed), 401, "invalid_api_key"),
    "a message signature of an hour ago": (
        lambda ours: ours.message_signed(*ours.call, at=unix_now() - 3600), 401, "invalid_api_key",
    ),
    "a message signature of another body": (
        lambda ours: ours.message_signed("POST", PATH, CALL + b" "), 401, "invalid_api_key",
    ),
    "a message signature without the body's digest": (
        lambda ours: ours.message_signed(*ours.call, covered='"@method" "@target-uri"'),
        401, "invalid_api_key",
    ),
    "a message signature without a nonce": (
        lambda ours: ours.message_signed(*ours.call, params=f';created={unix_now()};keyid="{ours.public["id"]}"'
        ),
        401, "invalid_api_key",
    ),
    "a public key's id with an HMAC": (
        lambda ours: ours.message_signed(*ours.call, key="hmac", params=f';created={unix_now()};nonce="x1";keyid="{ours.public["id"]}"'
        ),
        401, "invalid_api_key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(ours: Identities, scripted: ScriptedUpstream, case: str) -> None:
    build, status, code = REFUSED[case]
    headers = build(ours)
    before = len(scripted.requests)
    answer = ask(ours, headers)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (status, code), answer.body
    assert len(scripted.requests) == before, "it reached the upstream"
    for secret in (ours.server.api_key, ours.client["secret"], ours.signing["secret"]):
        assert secret.encode() not in answer.body


BY_BODY = frozenset({"a body changed by a byte", "a message signature without the body's digest"})


@pytest.mark.parametrize("case", [case for case in REFUSED if case not in BY_BODY])
def test_refused_at_a_websocket(ours: Identities, scripted: ScriptedUpstream, case: str) -> None:
    """The same table for the upgrade, and for the first message where the proof is one word."""
    build, status, code = REFUSED[case]
    ours.call = OVER_WEBSOCKET
    try:
        headers = build(ours)
    finally:
        ours.call = OVER_HTTP
    before = len(scripted.requests)
    closes = 1000 if status == 403 else 4401
    assert said_over_websocket(ours, headers) == (code, closes)
    if list(headers) == ["Authorization"] and headers["Authorization"].startswith("Bearer "):
        told, closed = said_over_websocket(ours, {}, {"type": "auth", "token": headers["Authorization"]})
        assert told == code
        assert status == 403 or closed == 4401
    assert len(scripted.requests) == before, "it reached the upstream"


@pytest.mark.parametrize("way", ["API key", "access token", "self-issued JWT"])
def test_taken_in_a_first_message(ours: Identities, way: str) -> None:
    token = TAKEN[way](ours)["Authorization"]
    assert said_over_websocket(ours, {}, {"type": "auth", "token": token})[0] == ""


@pytest.mark.parametrize("way", ["signed", "message_signed"])
def test_taken_at_a_websocket_s_upgrade(ours: Identities, way: str) -> None:
    assert said_over_websocket(ours, getattr(ours, way)(*OVER_WEBSOCKET)) == ("", 1000)


def test_whatever_was_wrong_the_answer_is_the_same(ours: Identities) -> None:
    """Of one status, byte for byte but for the request's id and the date."""
    found: set[str] = set()
    for case, (build, _, code) in REFUSED.items():
        if code == "invalid_api_key" and case != "an expired key":
            answer = ask(ours, build(ours))
            headers = [pair for pair in answer.headers if pair[0].lower() not in ("x-request-id", "date")]
            found.add(repr((answer.status, headers, answer.body)))
    assert len(found) == 1, found


def test_no_secret_is_in_the_log_or_the_journal(ours: Identities) -> None:
    ask(ours, bearer(ours.client["secret"]))
    secrets = [ours.client["secret"], ours.signing["secret"], ours.server.api_key]
    kept = [ours.server.log().encode()]
    kept += [
        path.read_bytes()
        for path in ours.server.data.rglob("*")
        if path.is_file() and path.name != "first-key"
    ]
    for secret in secrets:
        assert not any(secret.encode() in content for content in kept)
