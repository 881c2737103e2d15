"""How CPU per plain call grows with the number of API keys, when every call comes with another key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import gateway, nginx
from bench.contenders.many_keys import data_with
from bench.contenders.running import Running
from bench.load.wrk import Turns
from bench.results import Finding, Row, growth
from bench.rows.contest import middle
from bench.rows.plain import per_call
from bench.setting import Setting, say, started
from bench.spawn import BenchError

ONE, SOME, MANY = 1, 10_000, 1_000_000

TO_SOME = Row("growth of CPU per call, 1 to 10 000 keys", 5.0, "%")
TO_MANY = Row("growth of CPU per call, 1 to 1 000 000 keys", 10.0, "%")
BETWEEN = Row("growth of CPU per call, 10 000 to 1 000 000 keys", None, "%")
ROWS = (TO_SOME, TO_MANY, BETWEEN)


def with_keys(setting: Setting, stack: ExitStack, upstream_port: int, count: int) -> Running:
    """A gateway whose database holds `count` keys."""
    say(f"a platform with {count} keys ...")
    data = data_with(setting.scratch, count)
    relay = gateway.relay(setting.scratch, setting.cores.proxy, upstream_port, data=data)
    relay.name = f"gateway with {count} keys"
    return started(stack, relay)


def measure(setting: Setting) -> Iterator[Finding]:
    """Three gateways, the same upstream, in turn."""
    if setting.stand_in:
        raise BenchError("nginx has no keys to stand in with")
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        takes = {
            count: partial(
                per_call,
                setting,
                with_keys(setting, stack, upstream.port, count),
                turns=Turns(gateway.KEYS, count),
            )
            for count in (ONE, SOME, MANY)
        }
        costs = setting.in_turn({str(count): take for count, take in takes.items()})
    one, some, many = ([cost.total for cost in costs[str(count)]] for count in (ONE, SOME, MANY))
    yield growth(TO_SOME, one, some, note=f"10 000 keys, of ours: {middle(costs[str(SOME)])}")
    yield growth(TO_MANY, one, many, note=f"a million keys, of ours: {middle(costs[str(MANY)])}")
    yield growth(BETWEEN, some, many)
