"""Seconds from `abyssal serve` to the first `/readyz` 200 with the engine and the bundled model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

from bench import spawn
from bench.contenders import gateway
from bench.results import Finding, Row, plain
from bench.setting import Setting, say

FRESH = Row("from serve to /readyz 200 with the engine, fresh data directory", 3.0, "s")
AGAIN = Row("from serve to /readyz 200 with the engine, second start", 3.0, "s")
ROWS = (FRESH, AGAIN)


def one_start(setting: Setting, number: int) -> tuple[float, float]:
    """Seconds of a first and of a second start in the same data directory."""
    data = setting.scratch / f"start-{number}"
    everywhere = setting.cores.proxy | setting.cores.load
    took: list[float] = []
    for what in ("first", "second"):
        began = time.perf_counter()
        platform = gateway.launch(setting.scratch, everywhere, [], data=data)
        try:
            spawn.wait_until(platform.ready, 60, "/readyz of the platform", platform.process)
            took.append(time.perf_counter() - began)
        finally:
            platform.stop()
        say(f"{what} start: ready in {took[-1]:.2f} s")
    return took[0], took[1]


def measure(setting: Setting) -> Iterator[Finding]:
    """Fresh and second start in turn, on all cores, as a person would."""
    numbers = count()
    starts = setting.in_turn({"start": lambda: one_start(setting, next(numbers))})["start"]
    yield plain(FRESH, [fresh for fresh, _ in starts])
    yield plain(AGAIN, [again for _, again in starts])
