"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading

_NS = 1_000_000_000


class ManualClock:
    """Keeps `abyssal.clock.Clock`; may be read by several threads while another moves it.

    `monotonic` and `unix` are where the two clocks start, in seconds. Neither starts at zero by default:
    code that takes zero for "never" is found out. Time is kept in whole nanoseconds, so ten times
    ``advance(0.1)`` is one second exactly.
    """

    def __init__(self, *, monotonic: float = 1_000.0, unix: float = 1_800_000_000) -> None:
        self._lock = threading.Lock()
        self._monotonic_ns = _whole_ns(monotonic)
        self._unix_ns = _whole_ns(unix)

    def monotonic(self) -> float:
        return self._monotonic_ns / _NS

    def unix_ns(self) -> int:
        return self._unix_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks; ValueError if negative (`set_unix` can jump back)."""
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds} s; to set the wall clock back use set_unix()")
        step = _whole_ns(seconds)
        with self._lock:
            self._monotonic_ns += step
            self._unix_ns += step

    def set_unix(self, seconds: float) -> None:
        """Set the wall clock to `seconds` since 1970-01-01 UTC, as an operator would; forwards or back.

        `monotonic()` does not notice.
        """
        with self._lock:
            self._unix_ns = _whole_ns(seconds)

    def __repr__(self) -> str:
        return f"ManualClock(monotonic={self.monotonic()}, unix={self._unix_ns / _NS})"


def _whole_ns(seconds: float) -> int:
    return seconds * _NS if isinstance(seconds, int) else round(seconds * _NS)
