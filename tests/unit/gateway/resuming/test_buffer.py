"""What is kept of a stream, and what may be dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.resuming.buffer import EVENT_COST, EventBuffer


def filled(*events: bytes) -> EventBuffer:
    buffer = EventBuffer()
    for event in events:
        buffer.append(event)
    return buffer


def test_events_are_taken_in_order_and_once() -> None:
    buffer = filled(b"a", b"b", b"c")
    assert buffer.take(1) == (1, [b"a"])
    assert buffer.ahead
    assert buffer.take(10_000) == (2, [b"b", b"c"])
    assert not buffer.ahead
    assert buffer.take(10_000) == (4, [])


def test_a_place_is_found_again() -> None:
    buffer = filled(b"a", b"b", b"c")
    buffer.take(10_000)
    assert buffer.seek(1)
    assert buffer.take(10_000) == (2, [b"b", b"c"])
    assert buffer.seek(3)
    assert not buffer.ahead
    assert buffer.seek(0)
    assert buffer.take(1) == (1, [b"a"])


def test_a_place_that_is_not_there_changes_nothing() -> None:
    buffer = filled(b"a", b"b")
    buffer.take(1)
    assert not buffer.seek(3)
    assert not buffer.seek(-1)
    assert buffer.take(10_000) == (2, [b"b"])


def test_the_oldest_are_dropped_first_and_the_place_before_them_with_them() -> None:
    buffer = filled(*[b"x" * 100] * 10)
    buffer.take(10_000)
    buffer.trim(5 * (100 + EVENT_COST), 0)
    assert buffer.first == 6
    assert buffer.size == buffer.behind == 5 * (100 + EVENT_COST)
    assert not buffer.seek(4)
    assert buffer.seek(5)
    assert buffer.take(1)[0] == 6


def test_what_was_not_written_is_never_dropped() -> None:
    buffer = filled(*[b"x" * 100] * 10)
    buffer.take(3 * (100 + EVENT_COST))
    buffer.trim(0, 0)
    assert buffer.take(10_000) == (4, [b"x" * 100] * 7)


def test_history_stays() -> None:
    buffer = filled(*[b"x" * 100] * 10)
    buffer.take(10_000)
    buffer.trim(0, 3 * (100 + EVENT_COST))
    assert buffer.seek(7)
    assert not buffer.seek(6)


def test_an_event_over_every_bound_is_kept_until_the_next() -> None:
    buffer = filled(b"a", b"x" * 1_000_000)
    buffer.take(10_000_000)
    buffer.trim(1000, 0)
    assert buffer.seek(1)
    buffer.take(10_000_000)
    buffer.append(b"b")
    buffer.take(1)
    buffer.trim(1000, 0)
    assert not buffer.seek(1)
    assert buffer.seek(2)


ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.binary(max_size=50)),
    st.tuples(st.just("take"), st.integers(0, 500)),
    st.tuples(st.just("seek"), st.integers(-1, 40)),
    st.tuples(st.just("trim"), st.integers(0, 1000), st.integers(0, 1000)),
)


@given(st.lists(ACTIONS, max_size=60))
def test_it_is_a_list_with_a_cursor_whatever_is_done(actions: list[tuple[object, ...]]) -> None:
    buffer, events, cursor = EventBuffer(), list[bytes](), 1
    for name, *arguments in actions:
        if name == "append":
            buffer.append(*arguments)  # type: ignore[arg-type]
            events.append(*arguments)  # type: ignore[arg-type]
        elif name == "take":
            number, taken = buffer.take(*arguments)  # type: ignore[arg-type]
            assert number == cursor
            assert taken == events[number - 1 : number - 1 + len(taken)]
            cursor += len(taken)
        elif name == "seek":
            (number,) = arguments
            if buffer.seek(number):  # type: ignore[arg-type]
                cursor = number + 1  # type: ignore[operator]
        else:
            buffer.trim(*arguments)  # type: ignore[arg-type]
        assert buffer.cursor == cursor
        assert buffer.first <= cursor
        assert buffer.last == len(events)
        cost = [len(event) + EVENT_COST for event in events]
        assert buffer.size == sum(cost[buffer.first - 1 :])
        assert buffer.behind == sum(cost[buffer.first - 1 : cursor - 1])
