"""The brake on failed attempts: a token bucket for each name, in bounded memory, by a clock that is handed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.stores.brake import Attempts, Brake, bucket_of

START = 1_000.0


def test_a_burst_then_the_rate() -> None:
    brake = Brake(per_minute=60, burst=3)
    for _ in range(2):
        brake.failed("a", START)
        assert brake.blocked("a", START) == 0.0
    brake.failed("a", START)
    assert brake.blocked("a", START) == pytest.approx(1.0, abs=1e-5)
    assert brake.blocked("a", START + 0.25) == pytest.approx(0.75, abs=1e-5)
    assert brake.blocked("a", START + 1) == 0.0
    brake.failed("a", START + 1)
    assert brake.blocked("a", START + 1) == pytest.approx(1.0, abs=1e-5)
    assert brake.blocked("b", START + 1) == 0.0


def test_the_burst_is_a_minutes_worth_unless_said() -> None:
    brake = Brake(per_minute=20)
    for _ in range(19):
        brake.failed("a", START)
    assert brake.blocked("a", START) == 0.0
    brake.failed("a", START)
    assert brake.blocked("a", START) == pytest.approx(3.0, abs=1e-5)


def test_failures_during_a_block_do_not_prolong_it() -> None:
    brake = Brake(per_minute=60, burst=1)
    for _ in range(1000):
        brake.failed("a", START)
    assert brake.blocked("a", START) == pytest.approx(1.0, abs=1e-5)


def test_a_long_silence_fills_the_bucket_and_no_more() -> None:
    brake = Brake(per_minute=60, burst=2)
    brake.failed("a", START)
    later = START + 86_400
    brake.failed("a", later)
    assert brake.blocked("a", later) == 0.0
    brake.failed("a", later)
    assert brake.blocked("a", later) > 0


def test_full_buckets_are_let_go() -> None:
    brake = Brake(per_minute=60)
    assert not brake.engaged(START)
    for number in range(1000):
        brake.failed(f"a{number}", START + number * 0.01)
    assert len(brake) <= 1000
    for number in range(1000):
        brake.failed("b", START + 100 + number)
    assert (len(brake), brake.engaged(START + 1099)) == (1, True)
    assert not brake.engaged(START + 1200), "all buckets are full again"


def test_the_oldest_makes_room() -> None:
    brake = Brake(per_minute=1, burst=2, capacity=3)
    for who in ("a", "b", "c", "a", "d"):
        brake.failed(who, START)
    assert len(brake) == 3
    assert brake.blocked("a", START) > 0
    brake.failed("b", START)  # was let go: it starts anew
    assert brake.blocked("b", START) == 0.0


def test_the_blocked_stay_when_there_is_no_room() -> None:
    brake = Brake(per_minute=1, burst=1, capacity=50)
    for number in range(500):
        brake.failed(f"a{number}", START)
    assert len(brake) == 50
    assert all(brake.blocked(f"a{number}", START) > 0 for number in range(50))
    assert brake.blocked("a499", START) == 0.0
    brake.failed("a499", START + 61)
    assert brake.blocked("a499", START + 61) > 0


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_numbers_that_make_no_brake(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Brake(per_minute=numbers[0], burst=numbers[1], capacity=numbers[2])


@given(
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=200),
)
def test_it_is_a_token_bucket(per_minute: int, burst: int, steps: list[tuple[float, bool]]) -> None:
    """Against the plain model: tokens that are counted. After the wait it names, one try is free."""
    brake = Brake(per_minute=per_minute, burst=burst)
    now, tokens = START, float(burst)
    for seconds, fails in steps:
        now += seconds
        tokens = min(burst, tokens + seconds * per_minute / 60)
        wait = brake.blocked("a", now)
        assert wait == pytest.approx(max(0.0, (1 - tokens) * 60 / per_minute), abs=1e-4)
        assert brake.blocked("a", now + wait + 1e-5) == 0.0
        if fails:
            tokens = max(0.0, tokens - 1)
            brake.failed("a", now)


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 5)), max_size=300), st.integers(1, 5))
def test_memory_is_bounded(failures: list[tuple[str, float]], capacity: int) -> None:
    brake, now = Brake(per_minute=10, burst=2, capacity=capacity), START
    for who, seconds in failures:
        now += seconds
        brake.failed(who, now)
        assert len(brake) <= capacity


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::1", True),
        ("2001:DB8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::", "::1", True),
        ("", "192.0.2.1", False),
        ("nonsense:", "nonsense", False),
        ("x" * 1000, "x" * 2000, True),
        (":" * 1000, ":" * 2000, True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) == same
    assert len(bucket_of(one)) <= 64


@given(st.text(max_size=100))
def test_any_text_is_some_bucket(text: str) -> None:
    assert len(bucket_of(text)) <= 64


# --- both brakes together


def test_an_address_is_braked_for_all_credentials_and_a_credential_from_all_addresses() -> None:
    attempts = Attempts(per_address=3, per_credential=2)
    assert not attempts.engaged(START)
    for _ in range(2):
        attempts.failed("client_a", "192.0.2.1", START)
    assert attempts.blocked("client_a", "192.0.2.99", START) > 0
    assert attempts.blocked("client_b", "192.0.2.1", START) == 0.0
    attempts.failed("", "192.0.2.1", START)
    assert attempts.blocked("client_b", "192.0.2.1", START) > 0
    assert attempts.blocked("", "192.0.2.1", START) > 0
    assert attempts.blocked("client_b", "192.0.2.99", START) == 0.0


def test_who_proved_itself_is_not_locked_out_for_an_hour() -> None:
    attempts = Attempts(per_address=1, per_credential=1)
    attempts.proved("client_a", "2001:db8::1", START)
    for now in (START, START + 3599):
        attempts.failed("client_a", "2001:db8::2", now)
        attempts.failed("client_a", "192.0.2.1", now)
        assert attempts.blocked("client_a", "2001:db8::1", now) == 0.0
        assert attempts.blocked("client_a", "192.0.2.1", now) > 0
        assert attempts.blocked("client_b", "2001:db8::1", now) > 0
        assert attempts.blocked("", "2001:db8::1", now) > 0
    attempts.failed("client_a", "2001:db8::1", START + 3600)
    assert attempts.blocked("client_a", "2001:db8::1", START + 3600) > 0


def test_what_was_right_once_is_not_held_against_the_address() -> None:
    attempts = Attempts(per_address=1, per_credential=1)
    attempts.failed("client_a", "192.0.2.1", START, stranger=False)
    assert attempts.blocked("client_a", "192.0.2.1", START) > 0
    assert attempts.blocked("client_b", "192.0.2.1", START) == 0.0


def test_the_longest_proven_makes_room() -> None:
    attempts = Attempts(per_address=1, per_credential=1, capacity=2)
    for number, who in enumerate(("a", "b", "a", "c")):
        attempts.proved(who, "192.0.2.1", START + 60 * number - 240)
    attempts.failed("", "192.0.2.1", START)
    assert [attempts.blocked(who, "192.0.2.1", START) > 0 for who in ("a", "b", "c")] == [False, True, False]
