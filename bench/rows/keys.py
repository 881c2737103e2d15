"""How CPU per plain call grows with the number of API keys: those that there are, and those that are used.

The two are measured one after the other: when a million keys were used, the control process notes for minutes
when each was, and whatever is measured meanwhile pays for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import gateway, nginx
from bench.contenders.many_keys import data_with
from bench.contenders.running import Running
from bench.load.wrk import Turns
from bench.results import Finding, Row, growth
from bench.rows.contest import Cost, middle
from bench.rows.plain import per_call
from bench.setting import Setting, say, started
from bench.spawn import BenchError

ONE, SOME, MANY = 1, 10_000, 1_000_000

TO_SOME = Row("growth of CPU per call, 1 to 10 000 keys, one in use", 5.0, "%")
TO_MANY = Row("growth of CPU per call, 1 to 1 000 000 keys, one in use", 10.0, "%")
SOME_USED = Row("... each call with another of the 10 000", None, "%")
MANY_USED = Row("... each call with another of the 1 000 000", None, "%")
ROWS = (TO_SOME, TO_MANY, SOME_USED, MANY_USED)


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
        relays = {count: with_keys(setting, stack, upstream.port, count) for count in (ONE, SOME, MANY)}
        costs: dict[str, list[Cost]] = {}
        for pairs in (((ONE, ONE), (ONE, SOME), (ONE, MANY)), ((SOME, SOME), (MANY, MANY))):
            takes = {
                f"{used} of {count}": partial(
                    per_call, setting, relays[count], turns=Turns(gateway.KEYS, used)
                )
                for used, count in pairs
            }
            costs |= setting.in_turn(takes)
    totals = {name: [cost.total for cost in found] for name, found in costs.items()}
    one = totals[f"{ONE} of {ONE}"]
    for row, name in (
        (TO_SOME, f"{ONE} of {SOME}"),
        (TO_MANY, f"{ONE} of {MANY}"),
        (SOME_USED, f"{SOME} of {SOME}"),
        (MANY_USED, f"{MANY} of {MANY}"),
    ):
        yield growth(row, one, totals[name], note=f"{name} keys, of ours: {middle(costs[name])}")
