"""How CPU per plain call grows with the number of connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import nginx
from bench.results import Finding, Row, growth
from bench.rows.contest import middle
from bench.rows.plain import per_call
from bench.setting import Setting, started

FEW, MANY = 8, 512

GROWTH = Row("growth of CPU per call, 8 to 512 connections", 15.0, "%")
ROWS = (GROWTH,)


def measure(setting: Setting) -> Iterator[Finding]:
    """Three rounds of few and many on the same gateway."""
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        relay = setting.relay(stack, upstream.port)
        costs = setting.in_turn(
            {str(count): partial(per_call, setting, relay, connections=count) for count in (FEW, MANY)},
        )
    yield growth(
        GROWTH,
        [cost.total for cost in costs[str(FEW)]],
        [cost.total for cost in costs[str(MANY)]],
        note=f"{MANY} connections, of ours: {middle(costs[str(MANY)])}",
    )
