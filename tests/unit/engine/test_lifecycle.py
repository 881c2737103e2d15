"""When an engine is started again, replaced or given up on: the numbered rules, over a time that is held."""

from __future__ import annotations

import pytest

from abyssal.engine.lifecycle import NEXT, Event, Health, Lifecycle, Rules, State

RULES = Rules(
    first_wait=0.5,
    longest_wait=30,
    failed_wait=20,
    reset_after=60,
    start_patience=10,
    check_interval=2,
    missed_checks=3,
)


def started(now: float = 100.0) -> Lifecycle:
    life = Lifecycle(RULES, now)
    life.spawned(now)
    return life


def ready(now: float = 100.0) -> Lifecycle:
    life = started(now)
    assert not life.checked(Health.OK, now)
    return life


def test_it_is_ready_from_its_first_good_check_on() -> None:
    life = Lifecycle(RULES, 0)
    assert life.state is State.STOPPED
    life.spawned(0)
    assert life.state is State.STARTING
    life.checked(Health.SILENT, 1)
    life.checked(Health.LOADING, 2)
    assert life.state is State.STARTING
    life.checked(Health.OK, 3)
    assert life.state is State.READY


def test_waits_double_up_to_the_longest() -> None:
    life = started()
    waits: list[float] = []
    for _ in range(9):
        waits.append(life.exited(100, refused=False))
        assert life.state is State.BACKOFF
        life.spawned(100)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_thousand_failures_wait_no_longer_than_the_longest() -> None:
    life = started()
    for _ in range(2000):
        wait = life.exited(100, refused=False)
        life.spawned(100)
    assert wait == 30


@pytest.mark.parametrize(("healthy_for", "wait"), [(59.9, 2.0), (60.0, 0.5)])
def test_unbroken_readiness_forgets_what_was_before(healthy_for: float, wait: float) -> None:
    life = started()
    for _ in range(2):
        life.exited(100, refused=False)
        life.spawned(100)
    life.checked(Health.OK, 200)
    assert life.exited(200 + healthy_for, refused=False) == wait


def test_time_spent_starting_forgets_nothing() -> None:
    life = started(0)
    life.exited(0, refused=False)
    life.spawned(0)
    life.checked(Health.LOADING, 500)
    assert life.exited(1000, refused=False) == 1.0


def test_a_refusal_is_failed_and_retried_slowly_and_does_not_lengthen_the_other_waits() -> None:
    life = started()
    assert life.exited(100, refused=True) == 20
    assert life.state is State.FAILED
    life.spawned(120)
    assert life.state is State.STARTING
    assert life.exited(120, refused=False) == 0.5


def test_missed_checks_in_a_row_are_a_hung_engine() -> None:
    life = ready()
    assert [life.checked(Health.SILENT, 101), life.checked(Health.SILENT, 102)] == [False, False]
    assert life.checked(Health.SILENT, 103)
    assert life.state is State.READY  # until the process is gone


def test_a_good_check_in_between_starts_the_count_again() -> None:
    life = ready()
    for now in range(101, 120, 3):
        assert not life.checked(Health.SILENT, now)
        assert not life.checked(Health.SILENT, now + 1)
        assert not life.checked(Health.OK, now + 2)


def test_a_starting_engine_that_says_nothing_is_hung_after_its_patience() -> None:
    life = started(100)
    assert not life.checked(Health.SILENT, 109.9)
    assert life.checked(Health.SILENT, 110)


def test_an_engine_that_loads_has_all_the_time_it_needs() -> None:
    life = started(100)
    for now in range(101, 4000, 9):
        assert not life.checked(Health.LOADING, now)
    assert not life.checked(Health.SILENT, now + 9.9)
    assert life.checked(Health.SILENT, now + 10)


def test_a_new_process_starts_with_a_clean_slate() -> None:
    life = ready()
    for now in (101, 102, 103):
        life.checked(Health.SILENT, now)
    life.exited(103, refused=False)
    life.spawned(104)
    life.checked(Health.OK, 105)
    assert not life.checked(Health.SILENT, 106)
    assert not life.checked(Health.SILENT, 107)


def test_a_starting_engine_is_asked_often_at_first_and_ever_less() -> None:
    life = started(0)
    asked, now = 0, 0.0
    while now < 60:
        now += life.next_check(now)
        asked += 1
        assert life.next_check(now) <= max(now / 10, 0.02)
    assert asked < 120
    assert life.next_check(3600) == 2
    life.checked(Health.OK, 3600)
    assert life.next_check(3600.1) == 2


def test_closing_is_possible_from_every_state_and_what_has_no_meaning_is_an_error() -> None:
    assert all(NEXT[state, Event.CLOSED] is State.STOPPED for state in State)
    with pytest.raises(KeyError):
        ready().spawned(101)


def test_spawns_are_counted() -> None:
    life = started()
    life.exited(100, refused=False)
    life.spawned(101)
    assert life.spawns == 2
