"""Time as an argument: the real clock, and the protocol that `abyssal.testing.ManualClock` keeps too."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of the platform knows about time."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""
        ...

    def unix_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def unix_ns(self) -> int:
        return time.time_ns()
