"""One file for each row, or for rows that one load measures together; this is their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from bench.results import Finding, Row
from bench.setting import Setting


class Group(msgspec.Struct, frozen=True):
    """Rows that are measured together; `measure` yields one finding for each of them."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Setting], Iterator[Finding]]


def groups() -> tuple[Group, ...]:
    """All of them, in the order of the table."""
    from bench.rows import (
        connections,
        dialects,
        engine,
        identity,
        imports,
        keys,
        latency,
        memory,
        plain,
        sdk,
        since,
        sse,
        startup,
    )

    modules = (plain, sse, latency, identity, keys, connections, memory, startup, imports, sdk, engine)
    modules += (dialects, since)
    return tuple(Group(module.__name__.rpartition(".")[2], module.ROWS, module.measure) for module in modules)
