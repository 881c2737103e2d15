"""Which processes belong together, on Linux and macOS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class _Process(NamedTuple):
    pid: int
    parent: int
    group: int


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, sorted; those that have ended but were not waited for are left out."""
    table = list(_table())
    found = {pid}
    while more := {process.pid for process in table if process.parent in found} - found:
        found |= more
    return sorted(found - {pid})


def group_members(group: int) -> list[int]:
    """Processes of a process group, sorted; without those that have ended but were not waited for."""
    return sorted(process.pid for process in _table() if process.group == group)


def _table() -> Iterator[_Process]:
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        yield from _table_of_ps()
        return
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            try:
                # The name, in parentheses, may hold blanks and parentheses of its own (proc(5)).
                state, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while the table was read
            if state not in "ZX":
                yield _Process(int(entry.name), int(parent), int(group))


def _table_of_ps() -> Iterator[_Process]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        pid, parent, group, state = line.split(None, 3)
        if not state.startswith("Z"):
            yield _Process(int(pid), int(parent), int(group))
