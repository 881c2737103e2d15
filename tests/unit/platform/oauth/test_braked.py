"""Too many failures at the OAuth endpoints: who is held up, what they are told, who is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abyssal.stores.sql.schema import credentials

from .office import CLIENT, SECRET, Office, furnish

AWAY = "203.0.113.5"


@pytest.fixture
def strict(make_office: Callable[..., Office]) -> Office:
    """Five failures a minute from an address, three for a client."""
    return furnish(make_office(failures_per_address=5, failures_per_key=3))


def fail(office: Office, times: int, *, client_id: str = CLIENT, address: str = AWAY) -> list[int]:
    return [office.token("cs_wrong", client_id, address=address).status for _ in range(times)]


def test_a_client_is_braked_wherever_it_is_guessed_from(strict: Office) -> None:
    assert fail(strict, 3) == [401, 401, 401]
    answer = strict.token(address="203.0.113.99")
    assert answer.status == 429
    assert answer.headers["retry-after"] == "20"
    assert answer.error == "temporarily_unavailable"
    assert answer.headers["cache-control"] == "no-store"
    strict.clock.advance(20)
    assert strict.token(address="203.0.113.99").status == 200


def test_an_address_is_braked_whatever_it_sends(strict: Office) -> None:
    assert [fail(strict, 1, client_id=f"client_{n}") for n in range(5)] == [[401]] * 5
    opened = strict.vault.opened
    right = strict.token(address=AWAY)
    malformed = strict.post("/oauth/token", {"grant_type": "client_credentials"}, address=AWAY,
                            headers={"authorization": "Basic ?"})  # fmt: skip
    nothing = strict.post("/oauth/token", {"grant_type": "client_credentials"}, address=AWAY)
    assert [right.status, malformed.status, nothing.status] == [429, 429, 429]
    assert right.json == malformed.json == nothing.json
    assert right.headers["retry-after"] == "12"
    assert strict.vault.opened == opened  # nothing was looked at
    assert strict.revoke("x").status == 200  # from home
    assert len(strict.failures) == 5  # what is not looked at is not journalled either


def test_who_proved_itself_goes_on(strict: Office) -> None:
    assert strict.token(address=AWAY).status == 200
    fail(strict, 8)
    fail(strict, 8, client_id="client_other")
    assert strict.token(address=AWAY).status == 200
    assert strict.token().status == 429  # not from a place where it was never seen
    strict.clock.advance(3600)
    fail(strict, 3, address="203.0.113.77")
    assert strict.token(address=AWAY).status == 429


def test_all_three_endpoints_count_together(strict: Office) -> None:
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        fields = {"grant_type": "client_credentials", "token": "x"}
        assert strict.post(path, fields, basic=(CLIENT, "cs_wrong"), address=AWAY).status == 401
    assert fail(strict, 1) == [429]


def test_nothing_sent_and_nothing_understood_are_no_attempts_at_a_secret(strict: Office) -> None:
    for _ in range(10):
        assert strict.post("/oauth/token", {"grant_type": "client_credentials"}, address=AWAY).status == 401
        assert (
            strict.post("/oauth/token", {"grant_type": "x"}, basic=(CLIENT, "x"), address=AWAY).status == 400
        )
    assert strict.token(address=AWAY).status == 200
    assert strict.failures == []


def test_an_expired_client_does_not_lock_its_office_out(strict: Office) -> None:
    strict.add_client("client_b")
    strict.add_secret(SECRET, "client_b")
    strict.change(credentials, CLIENT, revoked_at=1)
    assert [strict.token(address=AWAY).status for _ in range(8)] == [401] * 3 + [429] * 5
    assert strict.token(client_id="client_b", address=AWAY).status == 200


def test_a_network_of_addresses_is_one(strict: Office) -> None:
    for number in range(5):
        fail(strict, 1, client_id=f"client_{number}", address=f"2001:db8::{number:x}")
    assert fail(strict, 1, client_id="client_9", address="2001:db8::ffff:1") == [429]
    assert fail(strict, 1, client_id="client_9", address="2001:db8:0:1::1") == [401]
