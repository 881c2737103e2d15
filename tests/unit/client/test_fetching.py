"""Who fetches a token and who waits, by the rules at the head of `abyssal.client.credentials.fetching`."""

from __future__ import annotations

import threading

import pytest

from abyssal.client.answer import Answer
from abyssal.client.credentials.fetching import Fetching, Move, Token
from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret, parse_base_url
from abyssal.wire.errors import AbyssalError, UnavailableError

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
ENDPOINT = Endpoint("POST", parse_base_url("http://h"), "/oauth/token", {})


def fetching(life: float = 3600.0) -> Fetching:
    """Answers are tokens: their content is the token's text."""
    return Fetching(
        ENDPOINT, Secret("form"), lambda answer, at: Token.lasting(answer.content.decode(), life, at)
    )


def took(one: Fetching, text: str, at: int) -> None:
    assert one.join(at, print) is Move.FETCH
    one.take(Answer(200, {}, text.encode()), at)


class Waiting:
    """Someone who waits, and what they were told."""

    def __init__(self) -> None:
        self.told: list[AbyssalError | None] = []

    def wake(self, failure: AbyssalError | None) -> None:
        self.told.append(failure)


def test_one_fetches_and_the_others_wait_for_it() -> None:
    one, first, second = fetching(), Waiting(), Waiting()
    assert not one.is_fresh(NOW)
    assert one.join(NOW, print) is Move.FETCH
    assert one.join(NOW, first.wake) is Move.WAIT
    assert one.join(NOW, second.wake) is Move.WAIT
    one.take(Answer(200, {}, b"t1"), NOW)
    assert (first.told, second.told) == ([None], [None])
    assert one.is_fresh(NOW)
    assert one.fields == {"authorization": "Bearer t1"}


@pytest.mark.parametrize(("life", "early"), [(3600.0, 60), (100.0, 20)])
def test_it_is_fresh_until_shortly_before_its_end(life: float, early: int) -> None:
    one = fetching(life)
    took(one, "t1", NOW)
    renewal = NOW + int(life - early) * SECOND
    assert one.is_fresh(renewal - 1)
    assert not one.is_fresh(renewal)


def test_near_the_end_one_renews_and_the_others_go_on_with_what_there_is() -> None:
    one = fetching()
    took(one, "t1", NOW)
    late = NOW + 3590 * SECOND
    assert one.join(late, print) is Move.FETCH
    assert one.join(late, print) is Move.GO
    assert one.fields == {"authorization": "Bearer t1"}
    one.take(Answer(200, {}, b"t2"), late)
    assert one.fields == {"authorization": "Bearer t2"}
    assert one.is_fresh(late + 3000 * SECOND)


def test_past_the_end_all_wait() -> None:
    one, other = fetching(), Waiting()
    took(one, "t1", NOW)
    assert one.join(NOW + 3600 * SECOND, print) is Move.FETCH
    assert one.join(NOW + 3600 * SECOND, other.wake) is Move.WAIT


def test_who_waited_gets_the_failure_each_a_copy() -> None:
    one, first, second = fetching(), Waiting(), Waiting()
    error = UnavailableError("down", retry_after=3)
    assert one.join(NOW, print) is Move.FETCH
    one.join(NOW, first.wake)
    one.join(NOW, second.wake)
    assert one.give_up(error, NOW) is True
    (mine,), (yours,) = first.told, second.told
    assert isinstance(mine, UnavailableError)
    assert (mine.message, mine.retry_after) == ("down", 3)
    assert mine is not yours
    assert mine is not error
    assert one.join(NOW, print) is Move.FETCH  # and the next one tries again


def test_while_the_old_token_is_good_a_failure_is_nobodys() -> None:
    one = fetching()
    took(one, "t1", NOW)
    late = NOW + 3545 * SECOND
    assert one.join(late, print) is Move.FETCH
    assert one.give_up(UnavailableError("down"), late) is False
    assert one.join(late + 9 * SECOND, print) is Move.GO
    assert one.join(late + 10 * SECOND, print) is Move.FETCH


def test_who_is_broken_off_leaves_the_fetch_to_the_next_in_line() -> None:
    one, other = fetching(), Waiting()
    assert one.join(NOW, print) is Move.FETCH
    assert one.join(NOW, other.wake) is Move.WAIT
    one.give_up(None, NOW)
    assert other.told == [None]
    assert one.join(NOW, other.wake) is Move.FETCH


def test_who_left_is_not_woken() -> None:
    one, other = fetching(), Waiting()
    one.join(NOW, print)
    one.join(NOW, other.wake)
    one.leave(other.wake)
    one.leave(other.wake)
    one.take(Answer(200, {}, b"t1"), NOW)
    assert other.told == []


def test_a_refused_token_is_not_used_again_but_a_newer_one_is() -> None:
    one = fetching()
    took(one, "t1", NOW)
    old = one.fields
    one.refuse(old)
    assert not one.is_fresh(NOW)
    took(one, "t2", NOW)
    one.refuse(old)  # another thread's call with the old one comes back later
    assert one.is_fresh(NOW)


def test_of_many_threads_exactly_one_fetches() -> None:
    one = fetching()
    start, moves, woken = threading.Barrier(16), [], threading.Semaphore(0)

    def ask() -> None:
        start.wait(5)
        moves.append(one.join(NOW, lambda failure: woken.release()))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(move.name for move in moves) == ["FETCH"] + ["WAIT"] * 15
    one.take(Answer(200, {}, b"t1"), NOW)
    assert all(woken.acquire(timeout=1) for _ in range(15))
