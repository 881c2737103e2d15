"""JWTs that a client signed: what passes, and every way in which one does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from abyssal.gateway.auth.jwt import JsonWebTokens
from abyssal.stores.rights import ALL_SCOPES, BITS

from .people import (
    CLIENT,
    CLIENT_SECRET,
    ED25519,
    ISSUER,
    NOW,
    OTHER_CLIENT,
    OTHER_SECRET,
    PUBLIC_KEY,
    SIGNING_KEY,
    SIGNING_SECRET,
    People,
    b64url,
    bearer,
    proven,
    raw_self_issued,
    raw_token,
    refused,
    self_issued,
    token_key,
)

CLAIMS = f'"iss":"{CLIENT}","iat":{NOW},"exp":{NOW + 60}'


@pytest.fixture
def way(people: People) -> JsonWebTokens:
    return JsonWebTokens(people.directory, issuer=ISSUER)


PROVEN = {
    "plain": {},
    "24 hours": {"iat": NOW, "exp": NOW + 86400},
    "a minute ahead": {"iat": NOW + 60},
    "not before a minute ahead": {"nbf": NOW + 60},
    "with fractions": {"iat": NOW - 0.25, "exp": NOW + 60.75},
    "for us": {"aud": ISSUER},
    "for us and others": {"aud": ["https://other.test", ISSUER]},
    "with more claims": {"sub": "someone", "jti": "x", "n": {"a": [1, None, True]}},
}


@pytest.mark.parametrize("claims", list(PROVEN.values()), ids=list(PROVEN))
def test_it_is_proven(way: JsonWebTokens, claims: dict[str, Any]) -> None:
    proof = proven(way, bearer(self_issued(claims)))
    assert (proof.principal.id, proof.principal.scopes, proof.nonce) == (CLIENT, ALL_SCOPES, b"")


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "jwt"}, {"kid": CLIENT}, {"cty": "JSON"}])
def test_headers_that_do_no_harm(way: JsonWebTokens, header: dict[str, Any]) -> None:
    assert proven(way, bearer(self_issued(header=header))).principal.id == CLIENT


@pytest.mark.parametrize(
    ("scope", "mask"),
    [("chat", BITS["chat"]), ("chat admin", BITS["chat"] | BITS["admin"]), ("", 0), ("all nothing", 0)],
)
def test_scope_narrows(way: JsonWebTokens, scope: str, mask: int) -> None:
    assert proven(way, bearer(self_issued({"scope": scope}))).principal.scopes == mask


def test_scope_does_not_widen(people: People, way: JsonWebTokens) -> None:
    people.credential(CLIENT, "client", CLIENT_SECRET.encode(), scopes=BITS["chat"])
    assert proven(way, bearer(self_issued({"scope": "chat admin"}))).principal.scopes == BITS["chat"]


CLAIMS_REFUSED = {
    "no iat": ({"iat": ...}, "malformed"),
    "no exp": ({"exp": ...}, "malformed"),
    "exp as text": ({"exp": str(NOW + 60)}, "malformed"),
    "exp as true": ({"exp": True}, "malformed"),
    "exp null": ({"exp": None}, "malformed"),
    "exp in milliseconds": ({"exp": (NOW + 60) * 1000}, "malformed"),
    "exp below zero": ({"exp": -1}, "malformed"),
    "nbf as text": ({"nbf": "0"}, "malformed"),
    "over 24 hours": ({"iat": NOW, "exp": NOW + 86401}, "lifetime"),
    "no life at all": ({"iat": NOW + 60, "exp": NOW + 60}, "lifetime"),
    "a life backwards": ({"iat": NOW, "exp": NOW - 60}, "lifetime"),
    "expired": ({"iat": NOW - 60, "exp": NOW - 1}, "expired"),
    "expired now": ({"iat": NOW - 60, "exp": NOW}, "expired"),
    "issued too far ahead": ({"iat": NOW + 61}, "early"),
    "not before too far ahead": ({"nbf": NOW + 61}, "early"),
    "for another": ({"aud": "https://other.test"}, "audience"),
    "for others": ({"aud": ["https://other.test"]}, "audience"),
    "for nobody": ({"aud": []}, "audience"),
    "for a part of us": ({"aud": ISSUER + "/"}, "audience"),
    "for a number": ({"aud": 1}, "malformed"),
    "for us and a number": ({"aud": [ISSUER, 1]}, "malformed"),
    "for an object": ({"aud": {"is": ISSUER}}, "malformed"),
    "scope as a list": ({"scope": ["chat"]}, "malformed"),
    "sub as a number": ({"sub": 7}, "malformed"),
}


@pytest.mark.parametrize(("claims", "reason"), list(CLAIMS_REFUSED.values()), ids=list(CLAIMS_REFUSED))
def test_claims_that_are_refused(way: JsonWebTokens, claims: dict[str, Any], reason: str) -> None:
    found = refused(way, bearer(self_issued(claims)))
    assert (found.reason, found.credential, found.counts) == (reason, CLIENT, False)


HEADERS_REFUSED = {
    "crit": ({"crit": ["exp"], "exp": 1}, "malformed"),
    "jwk": ({"jwk": {"kty": "oct", "k": "AAAA"}}, "malformed"),
    "jku": ({"jku": "https://evil.test/jwks"}, "malformed"),
    "x5u": ({"x5u": "https://evil.test/cert"}, "malformed"),
    "x5c": ({"x5c": ["AAAA"]}, "malformed"),
    "b64": ({"b64": True}, "malformed"),
    "zip": ({"zip": "DEF"}, "malformed"),
    "another's kid": ({"kid": OTHER_CLIENT}, "malformed"),
    "kid a path": ({"kid": "../../dev/null"}, "malformed"),
    "kid null": ({"kid": None}, "malformed"),
    "another type": ({"typ": "dpop+jwt"}, "malformed"),
    "a type that is no text": ({"typ": 1}, "malformed"),
    "typ null": ({"typ": None}, "malformed"),
    "access token": ({"typ": "at+jwt"}, "algorithm"),
    "Access Token": ({"typ": "application/AT+JWT"}, "algorithm"),
    "none": ({"alg": "none"}, "algorithm"),
    "None": ({"alg": "None"}, "algorithm"),
    "hs256 in small": ({"alg": "hs256"}, "algorithm"),
    "HS512": ({"alg": "HS512"}, "algorithm"),
    "ES256": ({"alg": "ES256"}, "algorithm"),
    "algorithms": ({"alg": ["HS256"]}, "algorithm"),
    "no algorithm": ({"alg": None}, "algorithm"),
}


@pytest.mark.parametrize(("header", "reason"), list(HEADERS_REFUSED.values()), ids=list(HEADERS_REFUSED))
def test_headers_that_are_refused(way: JsonWebTokens, header: dict[str, Any], reason: str) -> None:
    token = raw_token(json.dumps({"alg": "HS256"} | header), "{" + CLAIMS + "}")
    assert refused(way, bearer(token)).reason == reason


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_other_algorithms_with_the_right_secret(way: JsonWebTokens, algorithm: str) -> None:
    claims = {"iss": CLIENT, "iat": NOW, "exp": NOW + 60}
    token = jwt.encode({"alg": algorithm}, claims, OctKey.import_key(CLIENT_SECRET), [algorithm])
    assert refused(way, bearer(token)).reason == "algorithm"


TEXTS_REFUSED = {
    "exp twice": "{" + CLAIMS + f',"exp":{NOW + 80000}' + "}",
    "exp twice, once escaped": "{" + CLAIMS + f',"\\u0065xp":{NOW + 80000}' + "}",
    "iss twice": "{" + CLAIMS + f',"iss":"{CLIENT}"' + "}",
    "a member deep inside twice": "{" + CLAIMS + ',"a":[{"b":1,"b":1}]}',
    "NaN": "{" + CLAIMS + ',"a":NaN}',
    "Infinity": "{" + CLAIMS + ',"a":Infinity}',
    "beyond doubles": "{" + CLAIMS + ',"a":1e400}',
    "a list": "[{" + CLAIMS + "}]",
    "text": '"' + CLIENT + '"',
    "nothing": "null",
    "a byte order mark": "\ufeff{" + CLAIMS + "}",
    "cut off": "{" + CLAIMS,
    "more behind": "{" + CLAIMS + "}{}",
    "a comment": "{" + CLAIMS + "/* */}",
    "nested": "{" + CLAIMS + ',"a":' + "[" * 2000 + "]" * 500 + "}",
    "nested without end": "[" * 2500,
    "iss that is no text": '{"iss":1,"iat":1,"exp":2}',
    "iss absent": '{"iat":1,"exp":2}',
    "iss null": '{"iss":null,"iat":1,"exp":2}',
}


@pytest.mark.parametrize("payload", list(TEXTS_REFUSED.values()), ids=list(TEXTS_REFUSED))
def test_texts_that_are_refused_though_they_are_signed(way: JsonWebTokens, payload: str) -> None:
    assert refused(way, bearer(raw_self_issued(payload))).reason == "malformed"


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"none","alg":"HS256"}',
        '{"alg":"HS256","alg":"HS256"}',
        '["HS256"]',
        '"HS256"',
        "{",
        b"\xff{}",
        b"{\0}",
    ],
)
def test_header_texts_that_are_refused(way: JsonWebTokens, header: str | bytes) -> None:
    assert refused(way, bearer(raw_token(header, "{" + CLAIMS + "}"))).reason == "malformed"


def test_utf_16_is_not_guessed(way: JsonWebTokens) -> None:
    token = raw_token(b'{"alg":"HS256"}', ("{" + CLAIMS + "}").encode("utf-16"))
    assert refused(way, bearer(token)).reason == "malformed"


def test_a_token_is_4096_bytes_at_most(way: JsonWebTokens) -> None:
    sizes = {len(token): token for n in range(2800, 3000) if (token := self_issued({"pad": "x" * n}))}
    largest = max(size for size in sizes if size <= 4096)
    assert largest > 4090
    assert proven(way, bearer(sizes[largest]))
    assert refused(way, bearer(sizes[min(size for size in sizes if size > 4096)])).reason == "malformed"


SPELLINGS = {
    "padding": lambda head, body, mark: f"{head}.{body}.{mark}=",
    "padding of the header": lambda head, body, mark: f"{head}==.{body}.{mark}",
    "a blank": lambda head, body, mark: f"{head}.{body[:9]} {body[9:]}.{mark}",
    "a line feed": lambda head, body, mark: f"{head}.{body}.{mark[:9]}\n{mark[9:]}",
    "standard base64": lambda head, body, mark: f"{head}.{body}.{mark.replace('-', '+').replace('_', '/')}+",
    "a letter beyond ASCII": lambda head, body, mark: f"{head}.{body}.{mark[:-1]}\xff",
    "no signature": lambda head, body, mark: f"{head}.{body}.",
    "no header": lambda head, body, mark: f".{body}.{mark}",
    "four parts": lambda head, body, mark: f"{head}.{body}.{mark}.{mark}",
    "spare bits": lambda head, body, mark: f"{head}.{body}.{mark[:-1]}{chr(ord(mark[-1]) + 1)}",
}


@pytest.mark.parametrize("spelling", list(SPELLINGS.values()), ids=list(SPELLINGS))
def test_a_token_has_one_spelling(way: JsonWebTokens, spelling: Any) -> None:
    token = next(
        token for n in range(500) if (token := self_issued({"n": n}))[-1] in "AEIMQUYcgkosw048"
        and token[-1] not in "048" and "-" in token.split(".")[2]
    )  # fmt: skip
    assert proven(way, bearer(token))
    assert refused(way, bearer(spelling(*token.split(".")))).reason == "malformed"


FORGED = {
    "another client's secret": (self_issued(secret=OTHER_SECRET), "signature"),
    "the secret in another case": (self_issued(secret=CLIENT_SECRET.upper()), "signature"),
    "nobody's secret": (raw_token('{"alg":"HS256"}', "{" + CLAIMS + "}", "\0" * 32), "signature"),
    "no secret": (raw_token('{"alg":"HS256"}', "{" + CLAIMS + "}", ""), "signature"),
    "a short signature": (self_issued().rpartition(".")[0] + ".AAAA", "signature"),
    "a client that there is not": (self_issued({"iss": "client_" + "9" * 20}), "unknown"),
    "nobody's secret, nobody's client": (
        raw_token('{"alg":"HS256"}', f'{{"iss":"client_nobody","iat":{NOW},"exp":{NOW + 9}}}', "\0" * 32),
        "unknown",
    ),
    "a signing key": (self_issued({"iss": SIGNING_KEY}, secret=SIGNING_SECRET), "unknown"),
    "an iss with a surrogate": (raw_self_issued('{"iss":"\\ud800","iat":1,"exp":2}'), "unknown"),
    "an iss without end": (self_issued({"iss": "client_" + "1" * 2000}), "unknown"),
    "an empty iss": (self_issued({"iss": ""}), "unknown"),
}


@pytest.mark.parametrize(("token", "reason"), list(FORGED.values()), ids=list(FORGED))
def test_forgeries(way: JsonWebTokens, token: str, reason: str) -> None:
    found = refused(way, bearer(token))
    assert (found.reason, found.counts) == (reason, True)


def test_a_public_key_is_never_a_secret(way: JsonWebTokens) -> None:
    """The published halves, in each form that someone could take for a secret (RFC 8725 §2.1)."""
    raw = ED25519.public_key().public_bytes_raw()
    pem = token_key("tk_1")[1].decode()
    for secret in (pem, pem.strip(), pem.replace("\n", "\r\n"), b64url(raw), raw.decode("latin-1")):
        for issuer in (CLIENT, PUBLIC_KEY, "tk_1", ISSUER):
            for header in ('{"alg":"HS256"}', '{"alg":"HS256","typ":"at+jwt","kid":"tk_1"}'):
                token = raw_token(header, f'{{"iss":"{issuer}","iat":{NOW},"exp":{NOW + 60}}}', secret)
                refused(way, bearer(token))
    token = raw_token('{"alg":"HS256"}', f'{{"iss":"{PUBLIC_KEY}","iat":{NOW},"exp":{NOW + 60}}}', "x")
    assert refused(way, bearer(token)).reason == "unknown"


def test_whose_it_claims_to_be(way: JsonWebTokens) -> None:
    assert way.claimed(bearer(self_issued(secret="x" * 40))) == CLIENT
    assert way.claimed(bearer(self_issued({"iss": "client_nobody"}))) == "client_nobody"
    for token in ("a.b.c", "..", self_issued({"iss": "no id"}), raw_self_issued('{"iss":[]}')):
        assert way.claimed(bearer(token)) == ""
