"""The events of one stream that may be asked for again, and how far its reader was written to. Pure.

1. Events are numbered from 1 without gaps; the newest are there, the oldest are dropped.
2. The cursor stands before the next event to be written. What is not written yet is never dropped, nor is
   the event that was written last.
3. `trim` drops what is oldest, as long as enough of what was written stays: a client that was cut off may
   not have got it.
"""

from __future__ import annotations

from collections import deque

EVENT_COST = 64
"""Bytes that an event takes beside its own: the object around it and its place in the queue."""


class EventBuffer:
    """See the module. Sizes are bytes, with `EVENT_COST` for each event."""

    __slots__ = ("_events", "behind", "cursor", "first", "size")

    def __init__(self) -> None:
        self._events: deque[bytes] = deque()
        self.first = 1  # the number of the oldest that is there
        self.cursor = 1  # the number of the next to be written
        self.size = 0
        self.behind = 0  # of `size`, what was written

    @property
    def last(self) -> int:
        """The newest event's number, 0 when there was none."""
        return self.first + len(self._events) - 1

    @property
    def ahead(self) -> bool:
        """Whether something is still to be written."""
        return self.behind < self.size

    def append(self, event: bytes) -> None:
        """The next event of the stream."""
        self._events.append(event)
        self.size += len(event) + EVENT_COST

    def take(self, most: int) -> tuple[int, list[bytes]]:
        """The number of the next event to write, and about `most` bytes of events; they are written now."""
        events, at = self._events, self.cursor - self.first
        taken: list[bytes] = []
        while most > 0 and at < len(events):
            event = events[at]
            taken.append(event)
            most -= len(event) + EVENT_COST
            self.behind += len(event) + EVENT_COST
            at += 1
        number, self.cursor = self.cursor, self.first + at
        return number, taken

    def seek(self, number: int) -> bool:
        """Write on after the event `number`; False, and no change, when not all that follows it is there."""
        if not self.first - 1 <= number <= self.last:
            return False
        self.cursor = number + 1
        self.behind = sum(len(self._events[at]) + EVENT_COST for at in range(self.cursor - self.first))
        return True

    def trim(self, most: int, history: int) -> None:
        """Drop the oldest until `most` bytes are left, or what was written would be less than `history`."""
        events = self._events
        while self.size > most and self.first < self.cursor - 1:
            cost = len(events[0]) + EVENT_COST
            if self.behind - cost < history:
                return
            events.popleft()
            self.first += 1
            self.size -= cost
            self.behind -= cost
