"""What `import abyssal` costs over a bare interpreter, as wall time of a whole process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.results import Finding, Row, figure, plain
from bench.setting import Setting
from bench.spawn import BenchError, pinned

RUNS = 7

BARE = "pass"
PACKAGE = "import abyssal"
CLIENT = "from abyssal import DeepSeekClient"
LIMITED = Row("import abyssal over a bare interpreter", 50.0, "ms")
SHOWN = Row("from abyssal import DeepSeekClient, over the same", None, "ms")
ROWS = (LIMITED, SHOWN)


def one_run(code: str) -> float:
    """Milliseconds from fork to exit."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    took = 1000 * (time.perf_counter() - began)
    if done.returncode != 0:
        raise BenchError(f"`{code}` failed: {done.stderr.strip().splitlines()[-1:]}")
    return took


def one_round() -> dict[str, float]:
    """The median of RUNS runs of each, taken in turn."""
    times: dict[str, list[float]] = {BARE: [], PACKAGE: [], CLIENT: []}
    for _ in range(RUNS):
        for code, took in times.items():
            took.append(one_run(code))
    return {code: statistics.median(took) for code, took in times.items()}


def measure(setting: Setting) -> Iterator[Finding]:
    """The first of each fills the disk cache and the bytecode files, and is thrown away."""
    with pinned(setting.cores.proxy):
        for code in (BARE, PACKAGE, CLIENT):
            one_run(code)
        rounds = setting.in_turn({"import": one_round})["import"]
    for row, code in ((LIMITED, PACKAGE), (SHOWN, CLIENT)):
        yield plain(
            row,
            [times[code] - times[BARE] for times in rounds],
            ours=figure(statistics.median(times[code] for times in rounds), "ms"),
            theirs=figure(statistics.median(times[BARE] for times in rounds), "ms"),
        )
