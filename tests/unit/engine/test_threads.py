"""How many threads: what was asked for, one for a small model, the machine's cores for a large one."""

from __future__ import annotations

import os
import sys

import pytest

from abyssal.engine.threads import SMALL_MODEL_BYTES, choose_threads, usable_cores

LARGE = SMALL_MODEL_BYTES


@pytest.mark.parametrize(
    ("wanted", "model_bytes", "cores", "threads"),
    [
        (5, 1, 2, 5),
        (5, LARGE, 2, 5),
        (0, SMALL_MODEL_BYTES - 1, 64, 1),
        (0, LARGE, 0, 1),
        (0, LARGE, 1, 1),
        (0, LARGE, 2, 2),
        (0, LARGE, 3, 3),
        (0, LARGE, 4, 3),
        (0, LARGE, 16, 15),
    ],
)
def test_choice(wanted: int, model_bytes: int, cores: int, threads: int) -> None:
    assert choose_threads(wanted, model_bytes, cores) == threads


def test_no_more_cores_than_this_process_may_use() -> None:
    most = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    assert 1 <= usable_cores() <= most


@pytest.mark.skipif(sys.platform != "linux", reason="processor affinity is Linux's")
def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
