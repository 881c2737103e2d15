"""Linux timerfd: wake-ups finer than the whole milliseconds that event loops' own timers offer."""

from __future__ import annotations

import ctypes
import os
import struct

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ITIMERSPEC = struct.Struct("@qqqq")  # it_interval, it_value: timerfd_settime(2)


class Timer:
    """A timer on the clock of `time.monotonic()`, readable on `fd` when it has expired."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def arm(self, at: float, every: float = 0.0) -> None:
        """First expiry at `at` (seconds, monotonic), then each `every` seconds; 0 is once."""
        first, interval = max(1, int(at * 1e9)), int(every * 1e9)
        spec = _ITIMERSPEC.pack(*divmod(interval, 1_000_000_000), *divmod(first, 1_000_000_000))
        if self._libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, spec, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def expirations(self) -> int:
        """How often it has expired since the last question."""
        try:
            return int.from_bytes(os.read(self.fd, 8), "little")
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Safe to call once."""
        os.close(self.fd)
