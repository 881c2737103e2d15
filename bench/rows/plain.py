"""CPU per plain call: the gateway, nginx and sglang-router relay the same calls to the same upstream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from bench.contenders import nginx
from bench.contenders.running import Running
from bench.load import payloads, wrk
from bench.load.wrk import Turns
from bench.results import Finding, Row
from bench.rows.contest import Cost, contest, cost_of
from bench.setting import Setting, say, started

CONNECTIONS = 32
SECONDS = 4.0

NGINX = Row("gateway CPU per plain call ÷ nginx", 2.0)
SGLANG = Row("gateway CPU per plain call ÷ sglang-router", 0.5)
ROWS = (NGINX, SGLANG)


def per_call(
    setting: Setting,
    relay: Running,
    *,
    connections: int = CONNECTIONS,
    turns: Turns | None = None,
    path: str = payloads.PATH,
    body: bytes = b"",
    seconds: float = SECONDS,
) -> Cost:
    """One measurement, after a second of warm-up.

    With `turns` the calls use one key after another, else all use the contender's own key. `path` and `body`
    are for calls in another format.
    """
    rates: list[float] = []

    def load(lasting: float) -> float:
        seen = wrk.closed_loop(
            setting.scratch,
            setting.cores.load,
            relay.port,
            key=relay.key,
            connections=connections,
            seconds=lasting,
            turns=turns,
            path=path,
            body=body,
        )
        rates.append(seen.rate)
        return seen.requests

    load(1.0)
    cost = cost_of(relay, lambda: load(setting.seconds(seconds)))
    say(f"{relay.name}, {connections} connections: {cost} per call at {rates[-1]:,.0f}/s")
    return cost


def measure(setting: Setting) -> Iterator[Finding]:
    """All contenders in front of one nginx with a fixed answer."""
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        yield from contest(
            setting,
            upstream.port,
            buffering=True,
            take=per_call,
            against_nginx=NGINX,
            against_router=SGLANG,
        )
