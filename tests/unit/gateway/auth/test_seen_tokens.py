"""Tokens that were proven once: until when that holds, and what ends it sooner."""

from __future__ import annotations

import pytest

from abyssal.gateway.auth.jwt import JsonWebTokens
from abyssal.stores.rights import BITS
from abyssal.stores.snapshot import TokenKey

from .people import (
    CLIENT,
    CLIENT_SECRET,
    ISSUER,
    NOW,
    People,
    access_token,
    bearer,
    exchange,
    proven,
    refused,
    self_issued,
    token_key,
)


@pytest.fixture
def way(people: People) -> JsonWebTokens:
    return JsonWebTokens(people.directory, issuer=ISSUER, capacity=3)


@pytest.mark.parametrize("make", [access_token, self_issued])
def test_it_is_not_proven_twice(way: JsonWebTokens, make: object) -> None:
    token = make()  # type: ignore[operator]
    assert proven(way, bearer(token)) is proven(way, bearer(token))


@pytest.mark.parametrize("make", [access_token, self_issued])
def test_it_ends_at_the_second(way: JsonWebTokens, make: object) -> None:
    token = make({"exp": NOW + 10})  # type: ignore[operator]
    proven(way, bearer(token))
    assert proven(way, bearer(token), now=NOW + 9.999)
    assert refused(way, bearer(token), now=NOW + 10).reason == "expired"


@pytest.mark.parametrize("make", [access_token, self_issued])
def test_a_revoked_client(people: People, way: JsonWebTokens, make: object) -> None:
    token = make()  # type: ignore[operator]
    proven(way, bearer(token))
    people.revoke(CLIENT)
    assert refused(way, bearer(token)).reason == "unknown"


@pytest.mark.parametrize("make", [access_token, self_issued])
def test_a_client_that_was_changed(people: People, way: JsonWebTokens, make: object) -> None:
    token = make({"scope": "chat admin"})  # type: ignore[operator]
    assert proven(way, bearer(token)).principal.scopes == BITS["chat"] | BITS["admin"]
    people.credential(CLIENT, "client", CLIENT_SECRET.encode(), scopes=BITS["chat"])
    assert proven(way, bearer(token)).principal.scopes == BITS["chat"]


def test_a_revoked_token(people: People, way: JsonWebTokens) -> None:
    proven(way, bearer(access_token()))
    people.revoke_token("jti-1")
    assert refused(way, bearer(access_token())).reason == "revoked"


def test_a_withdrawn_key(people: People, way: JsonWebTokens) -> None:
    token = access_token()
    proven(way, bearer(token))
    people.publish(token_keys=(TokenKey("tk_2", token_key("tk_2")[1]),))
    assert refused(way, bearer(token)).reason == "unknown_key"


def test_a_secret_that_ends(people: People, way: JsonWebTokens) -> None:
    new = "cs_" + "n" * 43
    people.credential(CLIENT, "client", (CLIENT_SECRET.encode(), NOW + 10), new.encode())
    by_old, by_new = self_issued(), self_issued(secret=new)
    assert proven(way, bearer(by_old))
    assert proven(way, bearer(by_new))
    assert proven(way, bearer(by_old), now=NOW + 9.999)
    assert refused(way, bearer(by_old), now=NOW + 10).reason == "signature"
    assert proven(way, bearer(by_new), now=NOW + 10)


def test_a_secret_that_was_replaced_at_once(people: People, way: JsonWebTokens) -> None:
    token = self_issued()
    proven(way, bearer(token))
    people.credential(CLIENT, "client", b"cs_" + b"n" * 43)
    assert refused(way, bearer(token)).reason == "signature"


def test_the_least_recently_used_goes(way: JsonWebTokens) -> None:
    tokens = [self_issued({"n": n}) for n in range(4)]
    first, second, third = (proven(way, bearer(token)) for token in tokens[:3])
    assert proven(way, bearer(tokens[0])) is first
    proven(way, bearer(tokens[3]))
    assert proven(way, bearer(tokens[0])) is first
    assert proven(way, bearer(tokens[2])) is third
    assert proven(way, bearer(tokens[1])).principal.id == second.principal.id
    assert proven(way, bearer(tokens[1])) is not second


def test_strangers_push_nobody_out(way: JsonWebTokens) -> None:
    token = self_issued()
    known = proven(way, bearer(token))
    for n in range(10):
        refused(way, bearer(self_issued({"n": n}, secret="x" * 40)))
    assert proven(way, bearer(token)) is known


def test_blanks_around_a_token_make_no_other_of_it(way: JsonWebTokens) -> None:
    """Or one token would fill the memory, and push everybody else's out."""
    token = self_issued()
    first = proven(way, bearer(token))
    for blanks in range(2, 20):
        assert proven(way, exchange(authorization="Bearer" + " " * blanks + token)) is first


def test_a_long_token_is_proven_and_not_remembered(way: JsonWebTokens) -> None:
    token = self_issued({"pad": "x" * 1800})
    assert len(token) > 2048
    assert proven(way, bearer(token)) is not proven(way, bearer(token))
