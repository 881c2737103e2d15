"""Signed requests: what passes, what does not and why, and what is asked of the nonce store."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from abyssal.gateway.auth.signed_request import SignedRequests
from abyssal.gateway.exchange import Exchange

from .people import (
    CLIENT,
    CLIENT_SECRET,
    NOW,
    PUBLIC_KEY,
    SIGNING_KEY,
    SIGNING_SECRET,
    People,
    exchange,
    proven,
    refused,
)

BODY = b'{"model":"m","messages":[]}\n\n17\n'


def signed(
    *,
    method: str = "POST",
    target: str = "/v1/chat/completions?a=b",
    body: bytes = BODY,
    timestamp: str = str(NOW),
    nonce: str = "n-1",
    key: str = SIGNING_KEY,
    secret: str = SIGNING_SECRET,
    **changed: Any,
) -> Exchange:
    """A request signed as the specification says, written here once more; then `changed`."""
    text = b"\n".join((method.encode(), target.encode(), body, timestamp.encode(), nonce.encode("latin-1")))
    signature = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
    sent: dict[str, Any] = {
        "method": method, "target": target, "body": body, "x_api_key": key,
        "x_api_timestamp": timestamp, "x_api_nonce": nonce, "x_api_signature": signature,
    }  # fmt: skip
    return exchange(**(sent | changed))


@pytest.fixture
def way(people: People) -> SignedRequests:
    return SignedRequests(people.directory)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("body", [b"", BODY, b"\n\n\n", bytes(range(256))])
def test_it_is_proven(way: SignedRequests, method: str, body: bytes) -> None:
    proof = proven(way, signed(method=method, body=body))
    assert (proof.principal.id, proof.until) == (SIGNING_KEY, (NOW + 301) * 10**9)
    assert len(proof.nonce) <= 64


@pytest.mark.parametrize(("offset", "fits"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_window(way: SignedRequests, offset: int, fits: bool) -> None:
    request = signed(timestamp=str(NOW + offset))
    if fits:
        assert proven(way, request).until == (NOW + offset + 301) * 10**9
    else:
        assert refused(way, request).reason == "skewed"


def test_a_nonce_is_remembered_for_as_long_as_its_timestamp_is_taken(way: SignedRequests) -> None:
    request = signed()
    until = proven(way, request).until
    assert proven(way, request, now=(until - 1) / 10**9 - 0.001)
    assert refused(way, request, now=until / 10**9).reason == "skewed"


NOT_PROVEN = {
    "no key": ({"x_api_key": None}, "malformed"),
    "an empty key": ({"x_api_key": ""}, "malformed"),
    "no timestamp": ({"x_api_timestamp": None}, "malformed"),
    "no nonce": ({"x_api_nonce": None}, "malformed"),
    "no signature": ({"x_api_signature": None}, "malformed"),
    "a timestamp with a sign": ({"timestamp": f"+{NOW}"}, "malformed"),
    "a timestamp with a fraction": ({"timestamp": f"{NOW}.0"}, "malformed"),
    "a timestamp with a blank": ({"timestamp": f" {NOW}"}, "malformed"),
    "a timestamp in letters": ({"timestamp": "now"}, "malformed"),
    "a timestamp in milliseconds": ({"timestamp": f"{NOW}000"}, "malformed"),
    "a timestamp of thousands of digits": ({"timestamp": "1" * 5000}, "malformed"),
    "an empty nonce": ({"nonce": ""}, "malformed"),
    "a nonce with a blank": ({"nonce": "a b"}, "malformed"),
    "a nonce beyond ASCII": ({"nonce": "\xe9"}, "malformed"),
    "a nonce of 129": ({"nonce": "n" * 129}, "malformed"),
    "a signature in hex": ({"x_api_signature": "ab" * 32}, "malformed"),
    "a signature without padding": ({"x_api_signature": "A" * 43}, "malformed"),
    "a signature of another length": ({"x_api_signature": "A" * 42 + "=="}, "malformed"),
    "a signature in base64url": ({"x_api_signature": "-" * 43 + "="}, "malformed"),
    "no signature at all": ({"x_api_signature": "A" * 43 + "="}, "signature"),
    "another method": ({"method": "PUT", "x_api_signature": "x" * 42 + "g="}, "signature"),
    "a wrong secret": ({"secret": "ss_" + "x" * 43}, "signature"),
    "a secret of zeros": ({"secret": "\0" * 32}, "signature"),
    "an empty secret": ({"secret": ""}, "signature"),
    "a key that there is not": ({"key": "sig_" + "9" * 20}, "unknown"),
    "the secret of zeros, a key that there is not": ({"key": "sig_nobody", "secret": "\0" * 32}, "unknown"),
    "a client and its secret": ({"key": CLIENT, "secret": CLIENT_SECRET}, "unknown"),
    "a public key": ({"key": PUBLIC_KEY}, "unknown"),
    "an API key in place of an id": ({"key": "sk-0123456789"}, "unknown"),
    "an id beyond ASCII": ({"key": "sig_\xff"}, "unknown"),
}


@pytest.mark.parametrize(("changed", "reason"), list(NOT_PROVEN.values()), ids=list(NOT_PROVEN))
def test_it_is_refused(way: SignedRequests, changed: dict[str, Any], reason: str) -> None:
    found = refused(way, signed(**changed))
    assert (found.reason, found.counts) == (reason, True)
    assert found.credential in ("", SIGNING_KEY)


CHANGES = {
    "the body by a byte": lambda request: setattr(request, "body", BODY[:-1] + b" "),
    "no body": lambda request: setattr(request, "body", b""),
    "the query": lambda request: setattr(request.head, "target", b"/v1/chat/completions?a=c"),
    "the method": lambda request: setattr(request.head, "method", b"PUT"),
    "the nonce": lambda request: request.head.proof.update({b"x-api-nonce": b"n-2"}),
    "the timestamp": lambda request: request.head.proof.update({b"x-api-timestamp": b"%d" % (NOW + 1)}),
}


@pytest.mark.parametrize("change", list(CHANGES.values()), ids=list(CHANGES))
def test_what_was_changed_under_way(way: SignedRequests, change: Any) -> None:
    request = signed()
    proven(way, request)
    change(request)
    assert refused(way, request).reason == "signature"


def test_lines_cannot_be_moved_from_one_part_to_another(way: SignedRequests) -> None:
    request = signed(body=b"x", timestamp=str(NOW), nonce="n")
    request.body = b"x\n" + str(NOW).encode()
    assert refused(way, request).reason == "signature"


def test_both_secrets_while_it_is_rotated_and_none_after_its_last_second(
    people: People, way: SignedRequests
) -> None:
    old, new = SIGNING_SECRET, "ss_" + "n" * 43
    people.credential(SIGNING_KEY, "signing_key", (old.encode(), NOW + 10), new.encode())
    assert proven(way, signed(secret=old), now=NOW + 9.999)
    assert proven(way, signed(secret=new), now=NOW)
    assert refused(way, signed(secret=old), now=NOW + 10).reason == "signature"
    assert proven(way, signed(secret=new), now=NOW + 10)


def test_a_key_without_a_live_secret(people: People, way: SignedRequests) -> None:
    people.credential(SIGNING_KEY, "signing_key", (SIGNING_SECRET.encode(), NOW))
    assert refused(way, signed()).reason == "signature"
    people.credential(SIGNING_KEY, "signing_key")
    assert refused(way, signed(secret="\0" * 32)).reason == "signature"


def test_a_revoked_key(people: People, way: SignedRequests) -> None:
    people.revoke(SIGNING_KEY)
    assert refused(way, signed()).reason == "unknown"


def test_nonces_differ_by_key_and_by_nonce(people: People, way: SignedRequests) -> None:
    other = "sig_" + "5" * 20
    people.credential(other, "signing_key", SIGNING_SECRET.encode())
    nonces = [proven(way, request).nonce for request in (signed(), signed(nonce="n-2"), signed(key=other))]
    assert len(set(nonces)) == 3
    assert proven(way, signed(target="/v1/models")).nonce == nonces[0]


def test_whose_it_claims_to_be(way: SignedRequests) -> None:
    assert way.claimed(signed(secret="wrong")) == SIGNING_KEY
    assert way.claimed(signed(key="sig_nobody")) == "sig_nobody"
    assert way.claimed(signed(x_api_key=None)) == ""
