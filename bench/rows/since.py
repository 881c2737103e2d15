"""What a same-dialect call costs now and cost before: this version and the checkout named with `--base`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import gateway, nginx
from bench.results import Finding, Row, ratio
from bench.rows import plain, sse
from bench.setting import Setting, started

HOW = "compared with --base DIR, a checkout of an earlier version"

PLAIN = Row("gateway CPU per plain call ÷ before", 1.05)
EVENT = Row("gateway CPU per SSE event ÷ before", 1.05)
ROWS = (PLAIN, EVENT)
_ROUNDS = 3  # times the usual: a small difference is looked for


def measure(setting: Setting) -> Iterator[Finding]:
    """Both before the same upstream, one load in turn with the other."""
    if setting.base is None:
        for row in ROWS:
            yield Finding(row=row, missing=HOW)
        return
    for row, streaming in ((PLAIN, False), (EVENT, True)):
        with ExitStack() as stack:
            cores = setting.cores
            if streaming:
                port, take = sse.upstream(stack, setting.scratch, cores.load), sse.per_event
            else:
                port = started(stack, nginx.upstream(setting.scratch, cores.load)).port
                take = partial(plain.per_call, seconds=2.0)
            now = started(stack, gateway.relay(setting.scratch, cores.proxy, port))
            before = started(stack, gateway.relay(setting.scratch, cores.proxy, port, base=setting.base))
            before.name = "before"
            takes = {"now": partial(take, setting, now), "before": partial(take, setting, before)}
            costs = setting.in_turn(takes, setting.rounds * _ROUNDS)
        totals = {name: [cost.total for cost in each] for name, each in costs.items()}
        yield ratio(row, totals["now"], totals["before"], unit="µs", scale=1e6)
