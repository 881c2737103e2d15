"""A contender that runs: where it listens, and how much CPU time each of its roles has used."""

from __future__ import annotations

import time

from bench import spawn
from bench.spawn import Process

_QUIET_STEP = 0.2
_QUIET_SHARE = 0.03
_QUIET_AT_MOST = 6.0


class Running:
    """One started contender. `key` is sent as a bearer token when it is not empty."""

    def __init__(self, name: str, process: Process, port: int, key: str = "") -> None:
        self.name = name
        self.process = process
        self.port = port
        self.key = key

    def roles(self) -> dict[str, list[int]]:
        """Process ids by role; here all are one role."""
        return {self.name: spawn.descendants(self.process.pid)}

    def cpu(self) -> dict[str, float]:
        """Seconds of user + system time so far, by role. Raises BenchError when it has ended."""
        if self.process.returncode is not None:
            raise spawn.BenchError(
                f"{self.name} ended with status {self.process.returncode}: {self.process.log_tail()}"
            )
        return {role: sum(map(spawn.cpu_seconds, pids)) for role, pids in self.roles().items()}

    def settle(self) -> None:
        """Waits until what a load left behind (a journal to be moved) is done: under 3 % of a core."""
        end = time.monotonic() + _QUIET_AT_MOST
        before = sum(self.cpu().values())
        while time.monotonic() < end:
            time.sleep(_QUIET_STEP)
            now = sum(self.cpu().values())
            if now - before < _QUIET_STEP * _QUIET_SHARE:
                return
            before = now

    def stop(self) -> None:
        """Ends it."""
        self.process.stop()
