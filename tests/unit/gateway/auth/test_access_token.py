"""Access tokens of the platform's: ES256 and nothing else, for us, not revoked, by a published key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import OctKey

from abyssal.gateway.auth.jwt import JsonWebTokens
from abyssal.stores.rights import BITS
from abyssal.stores.snapshot import TokenKey

from .people import (
    CLIENT,
    ISSUER,
    NOW,
    OTHER_CLIENT,
    SIGNING_KEY,
    People,
    access_token,
    b64url,
    bearer,
    payload_of,
    proven,
    refused,
    token_key,
)


@pytest.fixture
def way(people: People) -> JsonWebTokens:
    return JsonWebTokens(people.directory, issuer=ISSUER)


def test_it_is_proven(way: JsonWebTokens) -> None:
    proof = proven(way, bearer(access_token()))
    assert (proof.principal.id, proof.principal.scopes, proof.nonce) == (CLIENT, BITS["chat"], b"")


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_its_type(way: JsonWebTokens, kind: str) -> None:
    assert proven(way, bearer(access_token(header={"typ": kind}))).principal.id == CLIENT


def test_scopes_that_are_not_known_give_nothing(way: JsonWebTokens) -> None:
    proof = proven(way, bearer(access_token({"scope": "chat everything"})))
    assert proof.principal.scopes == BITS["chat"]


CLAIMS_REFUSED = {
    "no jti": ({"jti": ...}, "malformed"),
    "an empty jti": ({"jti": ""}, "malformed"),
    "a jti that is a number": ({"jti": 7}, "malformed"),
    "no scope": ({"scope": ...}, "malformed"),
    "no sub": ({"sub": ...}, "malformed"),
    "another sub": ({"sub": OTHER_CLIENT}, "malformed"),
    "no iat": ({"iat": ...}, "malformed"),
    "no exp": ({"exp": ...}, "malformed"),
    "exp as text": ({"exp": str(NOW + 60)}, "malformed"),
    "no client": ({"client_id": ...}, "malformed"),
    "a client that there is not": ({"client_id": "client_nobody", "sub": "client_nobody"}, "unknown"),
    "a signing key": ({"client_id": SIGNING_KEY, "sub": SIGNING_KEY}, "unknown"),
    "another issuer": ({"iss": "https://other.test"}, "issuer"),
    "no issuer": ({"iss": ...}, "issuer"),
    "another audience": ({"aud": "https://other.test"}, "audience"),
    "several audiences": ({"aud": [ISSUER, "https://other.test"]}, "audience"),
    "no audience": ({"aud": ...}, "audience"),
    "over 24 hours": ({"iat": NOW, "exp": NOW + 86401}, "lifetime"),
    "expired now": ({"iat": NOW - 60, "exp": NOW}, "expired"),
    "early": ({"iat": NOW + 61}, "early"),
    "not before": ({"nbf": NOW + 61}, "early"),
}


@pytest.mark.parametrize(("claims", "reason"), list(CLAIMS_REFUSED.values()), ids=list(CLAIMS_REFUSED))
def test_claims_that_are_refused(way: JsonWebTokens, claims: dict[str, Any], reason: str) -> None:
    found = refused(way, bearer(access_token(claims)))
    assert (found.reason, found.counts) == (reason, False)


HEADERS_REFUSED = {
    "no kid": ({"kid": ...}, "unknown_key"),
    "a kid that is a number": ({"kid": 1}, "unknown_key"),
    "a kid that there is not": ({"kid": "tk_2"}, "unknown_key"),
    "a client's own": ({"typ": "JWT"}, "algorithm"),
    "no type": ({"typ": ...}, "algorithm"),
    "jwk": ({"jwk": {"kty": "oct", "k": "AAAA"}}, "malformed"),
}


@pytest.mark.parametrize(("header", "reason"), list(HEADERS_REFUSED.values()), ids=list(HEADERS_REFUSED))
def test_headers_that_are_refused(way: JsonWebTokens, header: dict[str, Any], reason: str) -> None:
    token = access_token()
    top = json.loads('{"alg":"ES256","typ":"at+jwt","kid":"tk_1"}') | header
    top = {name: value for name, value in top.items() if value is not ...}
    parts = [b64url(json.dumps(top).encode()), *token.split(".")[1:]]
    assert refused(way, bearer(".".join(parts))).reason == reason


def test_another_key_under_a_known_kid(way: JsonWebTokens) -> None:
    token = access_token(key="tk_2", header={"kid": "tk_1"})
    assert refused(way, bearer(token)).reason == "signature"


@pytest.mark.parametrize("algorithm", ["HS256", "none", "EdDSA", "ES384", "es256"])
def test_swapped_algorithms(way: JsonWebTokens, algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": "tk_1"}
    if algorithm == "HS256":  # with the public key for a secret
        key = OctKey.import_key(b64url(token_key("tk_1")[1]))
        token = jwt.encode(header, payload_of(access_token()), key, ["HS256"], default_type=None)
    else:
        token = ".".join([b64url(json.dumps(header).encode()), *access_token().split(".")[1:]])
    assert refused(way, bearer(token)).reason == "algorithm"


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


@pytest.mark.parametrize("r", [0, 1, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER, 2**256 - 1])
def test_numbers_that_no_signature_has(way: JsonWebTokens, r: int, s: int) -> None:
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    token = access_token().rpartition(".")[0] + "." + b64url(signature)
    assert refused(way, bearer(token)).reason == "signature"


@pytest.mark.parametrize("length", [1, 63, 65, 70, 128])
def test_signatures_of_other_lengths(way: JsonWebTokens, length: int) -> None:
    token = access_token().rpartition(".")[0] + "." + b64url(bytes(length))
    assert refused(way, bearer(token)).reason == "signature"


def test_revoked(people: People, way: JsonWebTokens) -> None:
    people.revoke_token("jti-1")
    assert refused(way, bearer(access_token())).reason == "revoked"
    assert proven(way, bearer(access_token({"jti": "jti-2"})))


def test_a_key_that_comes_and_one_that_goes(people: People, way: JsonWebTokens) -> None:
    keys = [TokenKey(name, token_key(name)[1]) for name in ("tk_1", "tk_2")]
    people.publish(token_keys=tuple(keys))
    assert proven(way, bearer(access_token()))
    assert proven(way, bearer(access_token(key="tk_2")))
    people.publish(token_keys=(keys[1],))
    assert refused(way, bearer(access_token())).reason == "unknown_key"
    assert proven(way, bearer(access_token(key="tk_2")))


def test_a_published_key_on_another_curve_is_a_fault_of_ours(people: People, way: JsonWebTokens) -> None:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    people.publish(token_keys=(TokenKey("tk_1", pem),))
    with pytest.raises(ValueError, match="tk_1 that was published is not on P-256"):
        proven(way, bearer(access_token()))


def test_whose_it_claims_to_be(way: JsonWebTokens) -> None:
    assert way.claimed(bearer(access_token({"client_id": CLIENT}, key="tk_2"))) == CLIENT
    assert way.claimed(bearer(access_token({"client_id": 7}))) == ""
