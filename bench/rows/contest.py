"""What the CPU comparisons share: the contenders side by side, a cost per call, and the findings."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import msgspec

from bench import peers
from bench.contenders import nginx, sglang
from bench.contenders.running import Running
from bench.results import Finding, Row, ratio
from bench.setting import Setting, started
from bench.spawn import BenchError

_SHOWN = 5e-8  # seconds: a role that costs less per call than half the last digit is not mentioned


class Cost(msgspec.Struct, frozen=True):
    """Seconds of CPU time per call (or event), by role."""

    by_role: dict[str, float]

    @property
    def total(self) -> float:
        """All roles together: what is compared."""
        return sum(self.by_role.values())

    def __str__(self) -> str:
        shares = [f"{role} {cost * 1e6:.1f}" for role, cost in self.by_role.items() if cost > _SHOWN]
        return f"{', '.join(shares)} µs"


def cost_of(relay: Running, load: Callable[[], float]) -> Cost:
    """CPU time that `load()` made the relay use, divided by the calls or events that it returns.

    What a load leaves behind (a journal to be moved into SQL) is waited for and counted with it.
    """
    relay.settle()
    before = relay.cpu()
    units = load()
    relay.settle()
    after = relay.cpu()
    return Cost({role: (seconds - before.get(role, 0.0)) / units for role, seconds in after.items()})


def middle(costs: list[Cost]) -> Cost:
    """The round whose total is the median."""
    return sorted(costs, key=lambda cost: cost.total)[len(costs) // 2]


def contest(
    setting: Setting,
    upstream_port: int,
    *,
    buffering: bool,
    take: Callable[[Setting, Running], Cost],
    against_nginx: Row,
    against_router: Row,
) -> Iterator[Finding]:
    """Gateway, nginx and (when installed) sglang-router in turn; all three run, one at a time works."""
    proxy = setting.cores.proxy
    with ExitStack() as stack:
        ours = setting.relay(stack, upstream_port, buffering=buffering)
        reference = nginx.relay(setting.scratch, proxy, upstream_port, buffering=buffering)
        takes = {
            "ours": partial(take, setting, ours),
            "nginx": partial(take, setting, started(stack, reference)),
        }
        no_router = f"sglang-router is {peers.HOW}"
        if peers.has_router():
            try:
                router = started(stack, sglang.relay(setting.scratch, proxy, upstream_port))
                takes["router"] = partial(take, setting, router)
            except BenchError as error:
                no_router = str(error)
        costs = setting.in_turn(takes)
    totals = {name: [cost.total for cost in each] for name, each in costs.items()}
    worker = statistics.median(
        mine.by_role.get("worker", mine.total) / theirs
        for mine, theirs in zip(costs["ours"], totals["nginx"], strict=True)
    )
    note = f"of ours: {middle(costs['ours'])}; the worker alone {worker:.2f}x"
    yield ratio(against_nginx, totals["ours"], totals["nginx"], unit="µs", scale=1e6, note=note)
    if "router" in totals:
        yield ratio(against_router, totals["ours"], totals["router"], unit="µs", scale=1e6)
    else:
        yield Finding(row=against_router, missing=no_router)
