"""Whether the machine belonged to the benchmark: how much CPU time other programs used meanwhile.

Foreign CPU time is what /proc/stat says that all cores were busy (or were taken away by the host), less
what the benchmark, its children and their children used. A measurement with too much of it is taken
again: a load generator that is held up sends in bursts, and bursts are cheaper to relay.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench import spawn

T = TypeVar("T")

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_COLUMNS = (3, 4)  # idle, iowait: proc_stat(5); guest time (8, 9) is in user time already
ALLOWED = 0.15
_HOPELESS = 3  # measurements in a row that no repeat helped: the machine is shared, and stays so


def _busy() -> float:
    """Seconds that all cores together were busy or stolen, since boot."""
    columns = [int(text) for text in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return (sum(columns) - sum(columns[column] for column in _IDLE_COLUMNS)) / _TICKS


def _own() -> float:
    """Seconds that this process, its living descendants and its ended children used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = sum(map(spawn.cpu_seconds, spawn.descendants(os.getpid())))
    return living + ended.ru_utime + ended.ru_stime


class Watch:
    """Takes measurements, again when disturbed, and remembers how many stayed disturbed."""

    def __init__(self, again: int, say: Callable[[str], None]) -> None:
        """`again`: how often a disturbed measurement is repeated at most."""
        self._again = again
        self._say = say
        self.taken = 0
        self.disturbed = 0
        self._in_a_row = 0

    def take(self, measurement: Callable[[], T]) -> T:
        """The first calm result, else the calmest."""
        results: list[tuple[float, T]] = []
        again = self._again if self._in_a_row < _HOPELESS else 0
        for attempt in range(again + 1):
            began, busy, own = time.monotonic(), _busy(), _own()
            result = measurement()
            foreign = (_busy() - busy - (_own() - own)) / (time.monotonic() - began)
            results.append((foreign, result))
            if foreign <= ALLOWED:
                break
            more = "again" if attempt < again else "kept the calmest"
            self._say(f"(other programs used {foreign:.0%} of a core meanwhile: {more})")
        self.taken += 1
        foreign, result = min(results, key=lambda pair: pair[0])
        self.disturbed += foreign > ALLOWED
        self._in_a_row = self._in_a_row + 1 if foreign > ALLOWED else 0
        return result

    def __str__(self) -> str:
        if not self.taken:
            return "nothing was timed"
        if not self.disturbed:
            return f"all {self.taken} measurements had the machine to themselves"
        return (
            f"{self.disturbed} of {self.taken} measurements shared the machine with other programs "
            f"(over {ALLOWED:.0%} of a core): treat the figures with care"
        )
