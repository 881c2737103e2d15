"""How CPU per plain call grows with the number of API keys, calls taking turns over all of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.contenders import gateway, nginx
from bench.contenders.running import Running
from bench.results import Finding, Row, growth
from bench.rows.contest import middle
from bench.rows.plain import per_call
from bench.setting import Setting, started
from bench.spawn import BenchError

MANY = 10_000

GROWTH = Row("growth of CPU per call, 1 to 10 000 keys", 5.0, "%")
ROWS = (GROWTH,)


def database(data: Path) -> Path:
    """The SQLite file of a data directory, told by its first bytes."""
    for path in sorted(data.iterdir()):
        if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3":
            return path
    raise BenchError(f"no SQLite database in {data}")


def with_many_keys(setting: Setting, stack: ExitStack, upstream_port: int) -> tuple[Running, tuple[str, ...]]:
    """A gateway whose database holds MANY keys, and the keys: made between its first and second start."""
    from abyssal.stores.sql.database import open_database
    from abyssal.stores.sql.keys import KeyStore

    first = gateway.relay(setting.scratch, setting.cores.proxy, upstream_port)
    first.stop()
    keys = ["sk-" + secrets.token_urlsafe(20) for _ in range(MANY - 1)]
    engine = open_database(database(first.data))
    try:
        named = [(f"bench-{number}", key) for number, key in enumerate(keys)]
        KeyStore(engine).add_many(named, now_ns=time.time_ns())
    finally:
        engine.dispose()
    again = gateway.relay(setting.scratch, setting.cores.proxy, upstream_port, data=first.data)
    again.name = f"gateway with {MANY} keys"
    return started(stack, again), (gateway.KEY, *keys)


def measure(setting: Setting) -> Iterator[Finding]:
    """Two gateways, the same upstream, in turn."""
    if setting.stand_in:
        raise BenchError("nginx has no keys to stand in with")
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        one = setting.relay(stack, upstream.port)
        many, keys = with_many_keys(setting, stack, upstream.port)
        costs = setting.in_turn(
            {
                "one": partial(per_call, setting, one, keys=(gateway.KEY,)),
                "many": partial(per_call, setting, many, keys=keys),
            },
        )
    yield growth(
        GROWTH,
        [cost.total for cost in costs["one"]],
        [cost.total for cost in costs["many"]],
        note=f"{MANY} keys, of ours: {middle(costs['many'])}",
    )
