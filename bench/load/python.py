"""Starts the load programs that are written in Python, and reads the JSON that each prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.spawn import Process

ROOT = Path(__file__).resolve().parents[2]


def launch(
    module: str,
    arguments: list[str],
    *,
    scratch: Path,
    cores: frozenset[int],
    python: str = sys.executable,
    capture: bool = True,
) -> Process:
    """`python -m bench.load.<module> arguments`, running."""
    argv = [python, "-m", f"bench.load.{module}", *arguments]
    return Process(module, argv, cores=cores, log=scratch / f"{module}.log", cwd=ROOT, capture=capture)


def result(process: Process, seconds: float) -> dict[str, float]:
    """The object it printed; BenchError when it failed or took longer than `seconds`."""
    try:
        return json.loads(process.result(seconds))
    finally:
        process.stop(grace=0)
