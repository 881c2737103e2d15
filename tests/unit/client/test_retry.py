"""When to try again, by the rules at the head of `abyssal.client.retry`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.client.retry import Attempts, RetryBudget, RetryPolicy, is_retryable, retry_after_seconds
from abyssal.client.transport import PoolTimeoutError
from abyssal.wire.errors import (
    AbyssalError,
    ApiConnectionError,
    ApiTimeoutError,
    ConfigurationError,
    ProtocolError,
    UnavailableError,
    error_for_status,
)

DOWN = UnavailableError("down")


def attempts(
    max_retries: int = 2, deadline: float | None = None, budget: RetryBudget | None = None
) -> Attempts:
    return Attempts(RetryPolicy(max_retries=max_retries), budget or RetryBudget(), deadline)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 415, 418, 422, 431])
def test_statuses_that_no_retry_helps(status: int) -> None:
    assert not is_retryable(error_for_status(status)("no", status=status))


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 529])
def test_statuses_that_a_retry_may_help(status: int) -> None:
    assert is_retryable(error_for_status(status)("perhaps", status=status))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiConnectionError("reset"), True),
        (ApiTimeoutError("slow"), True),
        (PoolTimeoutError("full"), False),
        (ProtocolError("garbage"), False),
        (ConfigurationError("wrong"), False),
    ],
)
def test_local_errors(error: AbyssalError, expected: bool) -> None:
    assert is_retryable(error) is expected


def test_waits_double_up_to_a_bound_and_are_drawn_evenly() -> None:
    series = attempts(max_retries=8)
    assert [series.seconds_until_retry(DOWN, 0, lambda: 1.0) for _ in range(8)] == [
        1,
        2,
        4,
        8,
        16,
        30,
        30,
        30,
    ]
    assert series.seconds_until_retry(DOWN, 0, lambda: 1.0) is None
    series = attempts()
    assert series.seconds_until_retry(DOWN, 0, lambda: 0.0) == 0
    assert series.seconds_until_retry(DOWN, 0, lambda: 0.25) == 0.5


@given(st.integers(0, 10), st.floats(0, 1, exclude_max=True))
def test_never_more_retries_than_allowed_nor_longer_waits(allowed: int, dice: float) -> None:
    series = attempts(max_retries=allowed)
    waits = [series.seconds_until_retry(DOWN, 0, lambda: dice) for _ in range(allowed + 3)]
    made = [wait for wait in waits if wait is not None]
    assert len(made) == min(allowed, 10)
    assert all(0 <= wait <= 30 for wait in made)


def test_what_the_answer_asks_for_is_waited_for_up_to_a_limit() -> None:
    assert attempts().seconds_until_retry(UnavailableError("", retry_after=7), 0, lambda: 0.5) == 7
    assert attempts().seconds_until_retry(UnavailableError("", retry_after=120), 0, lambda: 0.5) == 120
    too_long = UnavailableError("", retry_after=120.5)
    assert attempts().seconds_until_retry(too_long, 0, lambda: 0.5) is None
    assert "asks for 120.5 s" in too_long.__notes__[0]


def test_a_wait_of_zero_that_is_asked_for_is_still_drawn() -> None:
    assert attempts().seconds_until_retry(UnavailableError("", retry_after=0), 0, lambda: 0.5) == 0.5


def test_no_wait_goes_over_the_total_time() -> None:
    error = UnavailableError("", retry_after=5)
    assert attempts(deadline=105.0).seconds_until_retry(error, 100.1, lambda: 0.5) is None
    assert "total time" in error.__notes__[0]
    assert attempts(deadline=105.0).seconds_until_retry(error, 99.9, lambda: 0.5) == 5


def test_the_budget_ends_retries_when_everything_fails() -> None:
    budget = RetryBudget()
    retried = 0
    for _ in range(1000):
        series = attempts(budget=budget)
        while series.seconds_until_retry(UnavailableError("down"), 0, lambda: 0.5) is not None:
            retried += 1
    assert 190 <= retried <= 215  # a fifth of the calls, and the ten saved up
    error = UnavailableError("down")
    assert attempts(budget=budget).seconds_until_retry(error, 0, lambda: 0.5) is None
    assert "budget" in error.__notes__[0]


def test_good_calls_fill_the_budget_but_not_over_its_brim() -> None:
    budget = RetryBudget(per_call=0.2, burst=3)
    for _ in range(1000):
        budget.pay_in()
    assert [budget.take_nowait() for _ in range(4)] == [True, True, True, False]
    for _ in range(5):
        budget.pay_in()
    assert [budget.take_nowait() for _ in range(2)] == [True, False]


NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:20 GMT"}, 20),
        ({"retry-after": "Wednesday, 21-Oct-15 07:28:20 GMT"}, 20),
        ({"retry-after": "Wed Oct 21 07:28:20 2015"}, 20),
        ({"retry-after": "Wed, 21 Oct 2015 07:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:20 GMT"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == expected


@given(st.text(max_size=40))
def test_no_retry_after_breaks_it(value: str) -> None:
    wait = retry_after_seconds({"retry-after": value, "retry-after-ms": value}, NOW)
    assert wait is None or wait >= 0
