"""Two thousand random changes to each kind of valid token and signature: none is accepted."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable

import pytest

from abyssal.gateway.auth.jwt import JsonWebTokens
from abyssal.gateway.auth.message_signature import MessageSignatures
from abyssal.gateway.auth.proof import Unproven, Way
from abyssal.gateway.auth.signed_request import SignedRequests
from abyssal.gateway.exchange import Exchange

from .people import (
    ED25519,
    ISSUER,
    NOW_NS,
    PUBLIC_KEY,
    People,
    access_token,
    b64url,
    bearer,
    proven,
    self_issued,
)
from .test_message_signature import of
from .test_message_signature import signed as message_signed
from .test_signed_request import signed as request_signed

CHANGES = 2000


def flip(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]


def swap(data: bytes, dice: random.Random) -> bytes:
    one, other = sorted(dice.sample(range(len(data)), 2))
    middle = data[one + 1 : other]
    return data[:one] + data[other : other + 1] + middle + data[one : one + 1] + data[other + 1 :]


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def double(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at : at + dice.randrange(1, 9)] + data[at:]


def drop(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at + 1 :]


def letter(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + dice.choice(b'ABab09-_+/=.:;"() ').to_bytes() + data[at + 1 :]


ANY = [flip, swap, cut, double, drop, letter]


def mutated_token(token: bytes, dice: random.Random) -> bytes:
    """The token's text changed, or a header or payload that says something else under the old signature."""
    if dice.random() < 0.7:
        return dice.choice(ANY)(token, dice)
    parts = token.split(b".")
    at = dice.randrange(2)
    said = json.loads(base64.urlsafe_b64decode(parts[at] + b"=="))
    name = dice.choice(list(said))
    change = dice.randrange(4)
    if change == 0:
        said[name] = dice.choice([None, 0, 2**60, "none", "HS256", "ES256", "admin", [], {}])
    elif change == 1:
        del said[name]
    elif change == 2:
        said[dice.choice(["crit", "jwk", "kid", "scope", "aud", "nbf"])] = dice.choice([1, "x", ISSUER])
    text = json.dumps(said, indent=1 if change == 3 else None, separators=(",", ":")).encode()
    parts[at] = b64url(text).encode()
    return b".".join(parts)


def is_taken(way: Way, request: Exchange) -> bool:
    try:
        way.prove(request, NOW_NS)
    except Unproven:
        return False
    return True


@pytest.mark.parametrize("make", [access_token, self_issued])
@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
def test_tokens(people: People, make: Callable[[], str], seen: bool) -> None:
    way = JsonWebTokens(people.directory, issuer=ISSUER)
    token, dice = make().encode(), random.Random(1)
    if seen:
        proven(way, bearer(token.decode()))
    done = 0
    while done < CHANGES:
        other = mutated_token(token, dice)
        if other.strip() != token:
            done += 1
            assert not is_taken(way, bearer(other.decode("latin-1"))), other
    assert is_taken(way, bearer(token.decode()))


def changed(request: Exchange, parts: list[str], dice: random.Random) -> Exchange:
    """A copy with one of `parts` changed: of the head, or one of the fields of its proof."""
    other = Exchange(request.id, request.client, copy.copy(request.head))
    other.head.proof = dict(request.head.proof or {})
    other.body = request.body
    part = dice.choice(parts)
    change = dice.choice(ANY)
    if part == "body":
        other.body = change(other.body, dice)
    elif hasattr(other.head, part):
        setattr(other.head, part, change(getattr(other.head, part), dice))
    else:
        other.head.proof[part.encode()] = change(other.head.proof[part.encode()], dice)
    return other


def meaning(request: Exchange) -> list[object]:
    """What a request says: a host's letters have no case (RFC 9110 §4.2.3), lists may have more blanks."""
    fields = {name: value.replace(b" ", b"") for name, value in (request.head.proof or {}).items()}
    head = request.head
    return [head.method, head.target, head.host.lower(), head.x_api_key, fields, request.body]


def check(way: Way, request: Exchange, parts: list[str]) -> None:
    dice, done = random.Random(2), 0
    while done < CHANGES:
        other = changed(request, parts, dice)
        if meaning(other) != meaning(request):
            done += 1
            assert not is_taken(way, other), (other.head.proof, other.head.target, other.body)
    assert is_taken(way, request)


def test_signed_requests(people: People) -> None:
    parts = ["method", "target", "body", "x_api_key", "x-api-timestamp", "x-api-nonce", "x-api-signature"]
    check(SignedRequests(people.directory), request_signed(), parts)


@pytest.mark.parametrize("key", ["hmac", "ed25519"])
def test_message_signatures(people: People, key: str) -> None:
    request = (
        message_signed(parameters=of(PUBLIC_KEY), sign=ED25519.sign) if key == "ed25519" else message_signed()
    )
    parts = ["method", "target", "host", "body", "signature", "signature-input", "content-digest"]
    check(MessageSignatures(people.directory), request, parts)
