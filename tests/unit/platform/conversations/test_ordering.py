"""One call at a time in a conversation, the others in order, on one node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from abyssal.platform.conversations.ordering import Holder, Ordering, Place
from abyssal.wire.errors import ConflictError, UnavailableError

HERE = Place("proj_1", "conv_1")
A, B, C = (Holder("w0", name) for name in "abc")
ELSEWHERE = Holder("w1", "a")


def story(tell: Callable[[Ordering], Awaitable[None]], most_waiting: int = 2) -> None:
    asyncio.run(tell(Ordering(most_waiting)))  # type: ignore[arg-type]


def test_in_the_order_of_coming() -> None:
    async def tell(ordering: Ordering) -> None:
        assert ordering.enter(HERE, A, wait=True) is None
        second, third = ordering.enter(HERE, B, wait=True), ordering.enter(HERE, C, wait=True)
        assert second is not None
        assert third is not None
        assert ordering.holds(HERE, A)
        ordering.leave(HERE, A)
        await second
        assert not third.done()
        assert ordering.holds(HERE, B)
        ordering.leave(HERE, B)
        await third
        ordering.leave(HERE, C)
        assert ordering.holding() == []
        assert ordering.enter(HERE, A, wait=False) is None

    story(tell)


def test_who_may_not_wait_or_finds_the_line_full_is_told() -> None:
    async def tell(ordering: Ordering) -> None:
        ordering.enter(HERE, A, wait=True)
        with pytest.raises(ConflictError, match="another call is at work") as refused:
            ordering.enter(HERE, B, wait=False)
        assert (refused.value.code, refused.value.retry_after) == ("conversation_busy", 1)
        ordering.enter(HERE, B, wait=True)
        with pytest.raises(ConflictError, match="1 calls wait"):
            ordering.enter(HERE, C, wait=True)
        assert ordering.enter(Place("proj_2", "conv_1"), C, wait=False) is None  # a guess is in no one's way

    story(tell, most_waiting=1)


def test_who_waits_no_more_is_passed_over() -> None:
    async def tell(ordering: Ordering) -> None:
        ordering.enter(HERE, A, wait=True)
        second, third = ordering.enter(HERE, B, wait=True), ordering.enter(HERE, C, wait=True)
        assert second is not None
        assert third is not None
        second.cancel()  # a time-out
        ordering.leave(HERE, A)
        await third
        assert ordering.holds(HERE, C)
        ordering.leave(HERE, B)  # it is neither holding nor waiting
        assert ordering.holds(HERE, C)

    story(tell)


def test_a_worker_that_is_gone_leaves_with_all_its_calls() -> None:
    async def tell(ordering: Ordering) -> None:
        ordering.enter(HERE, A, wait=True)
        ordering.enter(Place("proj_1", "conv_2"), B, wait=True)
        waits, other = ordering.enter(HERE, B, wait=True), ordering.enter(HERE, ELSEWHERE, wait=True)
        assert waits is not None
        assert other is not None
        assert len(ordering.holding("w0")) == 2
        ordering.end("w0")
        with pytest.raises(UnavailableError):
            await waits
        await other
        assert ordering.holding() == [(HERE, ELSEWHERE)]

    story(tell)
