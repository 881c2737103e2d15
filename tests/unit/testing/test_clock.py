"""The manual clock moves when it is told to, and only then."""

from __future__ import annotations

import pytest

from abyssal.clock import Clock
from abyssal.testing import ManualClock


def read(clock: Clock) -> tuple[float, int]:
    return clock.monotonic(), clock.unix_ns()


def test_it_stands_still_and_moves_both_clocks_alike() -> None:
    clock = ManualClock(monotonic=5, unix=100)
    assert read(clock) == read(clock) == (5.0, 100_000_000_000)
    clock.advance(2.5)
    assert read(clock) == (7.5, 102_500_000_000)


def test_small_steps_add_up_exactly() -> None:
    clock = ManualClock(monotonic=0, unix=0)
    for _ in range(10):
        clock.advance(0.1)
    assert read(clock) == (1.0, 1_000_000_000)


def test_setting_the_wall_clock_does_not_touch_the_monotonic_one() -> None:
    clock = ManualClock(monotonic=5, unix=100)
    clock.set_unix(40)
    assert read(clock) == (5.0, 40_000_000_000)
    clock.advance(1)
    assert read(clock) == (6.0, 41_000_000_000)


def test_whole_seconds_of_today_are_exact_to_the_nanosecond() -> None:
    assert ManualClock(unix=1_795_223_671).unix_ns() == 1_795_223_671_000_000_000


def test_time_does_not_run_backwards() -> None:
    clock = ManualClock()
    before = read(clock)
    with pytest.raises(ValueError, match="set_unix"):
        clock.advance(-1)
    assert read(clock) == before


def test_neither_clock_starts_at_zero() -> None:
    assert all(value > 0 for value in read(ManualClock()))
