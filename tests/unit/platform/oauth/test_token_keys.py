"""Signing keys over weeks: made when needed, published ahead, succeeded, withdrawn; one at a time, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet
from sqlalchemy import insert, select

from abyssal.platform.oauth.token_keys import DAY as DAY_NS
from abyssal.platform.oauth.token_keys import next_step, signing_key
from abyssal.stores.sealing import SealError
from abyssal.stores.sql.schema import revoked_tokens, token_keys
from abyssal.stores.sql.tokens import TokenKeyRow, read_token_keys

from .office import DAY, NS, Office, furnish

HOUR = 3600.0


def rows(office: Office) -> list[TokenKeyRow]:
    with office.engine.connect() as connection:
        return read_token_keys(connection)


def kid_of(token: str) -> str:
    return jws.extract_compact(token.encode()).headers()["kid"]


def published(office: Office) -> list[str]:
    return [key["kid"] for key in office.get("/.well-known/jwks.json").json["keys"]]


def test_without_clients_there_is_no_key(make_office: Callable[..., Office]) -> None:
    office = make_office()
    assert not office.rotate()
    assert office.get("/.well-known/jwks.json").json == {"keys": []}
    furnish(office)
    before = office.revision()
    assert office.rotate()
    assert (len(published(office)), office.revision()) == (1, before + 1)
    assert not office.rotate()
    assert office.revision() == before + 1


def test_the_first_token_makes_the_first_key_and_waits_for_the_workers(office: Office) -> None:
    token = office.token().json["access_token"]
    assert published(office) == [kid_of(token)]
    assert office.in_force_at == [office.revision()]
    office.beside().token()  # another replica's workers may not have heard of it either
    office.clock.advance(10)
    before = len(office.in_force_at)
    office.token()
    assert len(office.in_force_at) == before  # by now they have


def test_a_first_key_waits_on_the_other_replica_too(office: Office) -> None:
    other = office.beside()
    office.token()
    other.token()
    assert other.in_force_at == [office.revision()]


def test_an_empty_key_set_is_not_kept_by_anyone(office: Office) -> None:
    assert office.get("/.well-known/jwks.json").headers["cache-control"] == "no-cache"
    office.token()
    assert office.get("/.well-known/jwks.json").headers["cache-control"] == "public, max-age=3600"


def test_a_key_over_ten_weeks(make_office: Callable[..., Office]) -> None:
    """Every 3 hours: who took our key set 3 hours ago verifies every token of the last 24 hours."""
    office = furnish(make_office(token_key_days=7, token_lifetime=86_400))
    replicas = (office, office.beside())
    kept: KeySet | None = None
    issued: list[tuple[int, str]] = []
    signed_by: list[str] = []
    most = 0
    for turn in range(10 * 7 * 8):
        replica = replicas[turn % 2]
        replica.rotate()
        token = replica.token(scope="chat").json["access_token"]
        issued = [(at, old) for at, old in issued if at > office.now_s() - 86_400]
        issued.append((office.now_s(), token))
        if kept is not None:
            for _, old in issued[:: max(1, len(issued) // 3)] + issued[-1:]:
                jwt.decode(old, kept, algorithms=["ES256"])
        kept = KeySet.import_key_set(office.get("/.well-known/jwks.json").json)
        most = max(most, len(kept.keys))
        if kid_of(token) not in signed_by:
            signed_by.append(kid_of(token))
        office.clock.advance(3 * HOUR)
    assert len(signed_by) == 10
    assert most == 2
    assert all(old not in published(office) for old in signed_by[:-2])


def test_a_successor_is_published_a_day_before_it_signs(office: Office) -> None:
    first = kid_of(office.token().json["access_token"])
    office.clock.advance(29 * DAY - 1)
    assert not office.rotate()
    office.clock.advance(1)
    assert office.rotate()
    assert published(office)[0] == first
    (second,) = published(office)[1:]
    office.clock.advance(DAY - 1)
    assert kid_of(office.token().json["access_token"]) == first
    last = office.token().json["access_token"]
    office.clock.advance(1)
    assert kid_of(office.token().json["access_token"]) == second
    assert office.is_active(last)
    office.clock.advance(DAY + HOUR - 1)
    office.rotate()
    assert published(office) == [first, second]
    office.clock.advance(1)
    before = office.revision()
    assert office.rotate()
    assert published(office) == [second]
    with office.engine.connect() as connection:  # who follows by revision sees that something went
        assert list(connection.execute(select(token_keys.c.revision)).scalars()) == [before + 1]


def test_a_late_successor_still_gets_its_day(office: Office) -> None:
    """The platform was off for a year."""
    first = kid_of(office.token().json["access_token"])
    office.clock.advance(365 * DAY)
    assert kid_of(office.token().json["access_token"]) == first
    assert office.rotate()
    office.clock.advance(DAY - 1)
    assert kid_of(office.token().json["access_token"]) == first
    office.clock.advance(1)
    assert kid_of(office.token().json["access_token"]) == published(office)[1]


def test_a_clock_that_was_set_back_does_not_stop_tokens(office: Office) -> None:
    first = kid_of(office.token().json["access_token"])
    office.clock.set_unix(office.now_s() - 400 * 86_400)
    assert not office.rotate()
    token = office.token().json["access_token"]
    assert kid_of(token) == first
    assert office.is_active(token)


def test_the_private_half_rests_sealed_and_belongs_to_its_row(office: Office) -> None:
    office.token()
    office.clock.advance(29 * DAY)
    office.rotate()
    one, two = rows(office)
    assert b"PRIVATE" not in one.sealed
    assert one.public_pem.startswith(b"-----BEGIN PUBLIC KEY-----")
    office.change(token_keys, one.id, sealed=two.sealed)
    with pytest.raises(SealError):
        office.beside().token()


def test_revocations_go_when_their_token_has_ended(office: Office) -> None:
    at = office.clock.unix_ns()
    with office.engine.begin() as connection:
        for hours in range(4):
            connection.execute(
                insert(revoked_tokens).values(jti=f"j{hours}", expires_at=at + hours * 3600 * NS, revision=1)
            )
    office.rotate()
    office.clock.advance(26 * HOUR + 1)
    before = office.revision()
    office.rotate()
    with office.engine.connect() as connection:
        left = list(connection.execute(select(revoked_tokens.c.jti).order_by(revoked_tokens.c.jti)).scalars())
    assert left == ["j2", "j3"]  # a day and more after their token, for clocks that jump
    assert office.revision() == before


def test_many_replicas_at_once_make_one_key(office: Office) -> None:
    replicas = [office.beside() for _ in range(6)]
    everyone_at_once(replicas)
    (first,) = office.key_ids()
    office.clock.advance(29 * DAY)
    everyone_at_once(replicas)
    assert office.key_ids()[0] == first
    (second,) = office.key_ids()[1:]
    office.clock.advance(30 * DAY)
    everyone_at_once(replicas)
    assert office.key_ids()[0] == second
    assert len(office.key_ids()) == 2


def everyone_at_once(replicas: list[Office]) -> None:
    barrier = threading.Barrier(len(replicas))
    changed: list[bool] = []

    def go(replica: Office) -> None:
        barrier.wait()
        changed.append(replica.rotate())

    threads = [threading.Thread(target=go, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False] * (len(replicas) - 1) + [True]


# --- the plan, without a database


def key(number: int, active_at: float, retired_at: float | None = None) -> TokenKeyRow:
    """`active_at`, `retired_at` in days."""
    ended = None if retired_at is None else round(retired_at * DAY_NS)
    return TokenKeyRow(f"tk_{number}", b"", b"", 0, round(active_at * DAY_NS), ended)


@pytest.mark.parametrize(
    ("keys", "now", "days", "wanted", "active_at", "drop"),
    [
        ([], 5, 30, True, 5, ()),
        ([], 5, 30, False, None, None),
        ([key(1, 0)], 28.9, 30, True, None, None),
        ([key(1, 0)], 29, 30, True, 30, ()),
        ([key(1, 0)], 29.5, 30, False, 30.5, ()),
        ([key(1, 0)], 0, 1, True, 1, ()),  # a key a day: the next one is made when one takes over
        ([key(1, 0, 1), key(2, 1)], 0.5, 1, True, None, None),
        ([key(1, 0, 1), key(2, 1)], 1, 1, True, 2, ()),
        ([key(1, 0, 30), key(2, 30)], 31, 30, True, None, None),
        ([key(1, 0, 30), key(2, 30)], 31.05, 30, True, None, ("tk_1",)),
        ([key(1, 0, 30), key(2, 30)], 90, 30, True, 91, ("tk_1",)),
        ([key(1, 0, 30), key(2, 30)], 10, 5, True, None, None),
    ],
)
def test_what_is_due(
    keys: list[TokenKeyRow], now: float, days: int, wanted: bool, active_at: float | None,
    drop: tuple[str, ...] | None,
) -> None:  # fmt: skip
    step = next_step(keys, now_ns=round(now * DAY_NS), days=days, wanted=wanted)
    if drop is None:
        assert step is None
        return
    assert step is not None
    assert (step.active_at, step.drop) == (
        None if active_at is None else round(active_at * DAY_NS), drop,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "expected"), [(0, "tk_1"), (29.999, "tk_1"), (30, "tk_2"), (99, "tk_2"), (-1, "tk_1")]
)
def test_who_signs(now: float, expected: str) -> None:
    found = signing_key([key(1, 0, 30), key(2, 30)], now_ns=round(now * DAY_NS))
    assert found is not None
    assert found.id == expected
    assert signing_key([], now_ns=0) is None
