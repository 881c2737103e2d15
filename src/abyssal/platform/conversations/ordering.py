"""Whose turn it is in a conversation, on this node: one call at a time, the others in order. Memory only.

1. A conversation has one holder. Who comes next waits, in the order of coming, `most_waiting` at most.
2. A holder that leaves hands over to the first who waits; one who waits and leaves is passed over.
3. A worker that is gone leaves with everything of its own.

It knows neither time nor the database: how long one waits, and what other nodes do, is `turns`' matter. One
event loop only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from abyssal.wire.errors import ConflictError, UnavailableError


class Place(NamedTuple):
    """A conversation, within the project that names it: who guesses an id stands in no one's way."""

    project: str
    conversation: str


class Holder(NamedTuple):
    """A call, and the worker that it is at work in."""

    writer: str
    call: str


class Ordering:
    """See the module."""

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._holders: dict[Place, Holder] = {}
        self._waiting: dict[Place, deque[tuple[Holder, asyncio.Future[None]]]] = {}

    def enter(self, place: Place, holder: Holder, *, wait: bool) -> asyncio.Future[None] | None:
        """None when it is this holder's turn; else what is done when it will be.

        Raises ConflictError without `wait`, or when too many wait. The future's exception is an
        UnavailableError if the holder's worker goes first.
        """
        if place not in self._holders:
            self._holders[place] = holder
            return None
        line = self._waiting.setdefault(place, deque())
        if not wait or len(line) >= self._most_waiting:
            if not line:
                del self._waiting[place]
            raise busy(None if not wait else len(line))
        turn = asyncio.get_running_loop().create_future()
        line.append((holder, turn))
        return turn

    def holds(self, place: Place, holder: Holder) -> bool:
        """Whether it is this holder's turn."""
        return self._holders.get(place) == holder

    def leave(self, place: Place, holder: Holder) -> None:
        """The holder's turn is over, or it waits no more; harmless for one who is neither."""
        if self._holders.get(place) == holder:
            self._hand_over(place)
        elif place in self._waiting:
            line = self._waiting[place]
            self._waiting[place] = deque(entry for entry in line if entry[0] != holder)
            self._tidy(place)

    def holding(self, writer: str | None = None) -> list[tuple[Place, Holder]]:
        """Every turn under way, those of one worker if it is named."""
        return [(place, holder) for place, holder in self._holders.items() if writer in (None, holder.writer)]

    def end(self, writer: str) -> None:
        """A worker is gone."""
        for place, line in list(self._waiting.items()):
            for holder, turn in line:
                if holder.writer == writer and not turn.done():
                    turn.set_exception(UnavailableError("The worker that asked is gone."))
            self._waiting[place] = deque(entry for entry in line if entry[0].writer != writer)
            self._tidy(place)
        for place, _ in self.holding(writer):
            self._hand_over(place)

    def _hand_over(self, place: Place) -> None:
        del self._holders[place]
        line = self._waiting.get(place, deque())
        while line:
            holder, turn = line.popleft()
            if not turn.done():  # done: cancelled by who waited
                self._holders[place] = holder
                turn.set_result(None)
                break
        self._tidy(place)

    def _tidy(self, place: Place) -> None:
        if not self._waiting.get(place, True):
            del self._waiting[place]


def busy(waiting: int | None = None) -> ConflictError:
    """The answer to who may not wait, or waited too long; with `waiting`, to who may not join the line."""
    how = "another call is at work in it" if waiting is None else f"{waiting} calls wait already"
    return ConflictError(
        f"The conversation is busy ({how}); send the next message when the answer is there.",
        param="conversation_id",
        code="conversation_busy",
        retry_after=1,
    )
