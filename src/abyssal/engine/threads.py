"""How many threads an engine computes with: the cores it may really use, and when fewer are faster."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SMALL_MODEL_BYTES = 64 * 1024 * 1024
"""Below this a second thread spends its time waiting for the first.

The bundled model writes as many tokens with one thread as with two, for 60 % of the processor time; and
with a busy neighbour on one of the two cores, two threads write half as many (docs/engine.md, "Speed")."""

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def choose_threads(wanted: int, model_bytes: int, cores: int) -> int:
    """`wanted` when it is not 0. Else one for a small model; for a large one every core of a machine with
    at most three, and all but one, which is the gateway's, of a bigger machine."""
    if wanted:
        return wanted
    if model_bytes < SMALL_MODEL_BYTES:
        return 1
    return cores - 1 if cores > 3 else max(cores, 1)


def usable_cores() -> int:
    """Physical cores that this process may run on, at most its control group's quota; at least 1.

    Two hardware threads of one core share what matrix multiplication needs, so they count once.
    """
    if sys.platform == "linux":
        usable = os.sched_getaffinity(0)
        cores = len({_core_of(cpu) for cpu in usable})
        return max(1, min(cores, _quota_cores(cores)))
    return max(1, os.cpu_count() or 1)


def _core_of(cpu: int) -> tuple[str, str]:
    """The package and core that a logical processor belongs to; its own number where that is not told."""
    topology = _CPUS / f"cpu{cpu}" / "topology"
    try:
        package = (topology / "physical_package_id").read_text().strip()
        return package, (topology / "core_id").read_text().strip()
    except OSError:
        return "", str(cpu)


def _quota_cores(otherwise: int) -> int:
    """Whole cores of the control group's quota (cgroup v2: "MICROSECONDS PERIOD" or "max PERIOD")."""
    try:
        quota, period = _QUOTA.read_text().split()[:2]
        return int(quota) // int(period)
    except (OSError, ValueError):
        return otherwise
