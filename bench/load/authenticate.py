"""Times the stage *authenticate* in process: `python -m bench.load.authenticate --way api_key --folder DIR`.

Requests come through the gateway's own front, each on a connection of its own, and wait until a batch of
them is there. Then the stage goes over the batch in a loop, after a stage that lets everyone in has done the
same; what the process's CPU clock says of the second beyond the first is the cost. Nothing else is timed: no
parsing, no answer, no socket. `--again` goes over the batch once before, so that the heads are known.
Prints one JSON object: `stage` and `nothing` (seconds per call, medians of the batches), `added` (the median
of their differences).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from abyssal.clock import SystemClock
from abyssal.config import Config, ServerConfig
from abyssal.gateway.auth.build import build_authentication, choose_nonces
from abyssal.gateway.auth.nonce_node import NodeNonces
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front.http import HttpFront
from abyssal.gateway.front.whole import FrontLimits
from abyssal.gateway.principal import Principal
from abyssal.wire.addresses import Networks
from bench.load.people import EACH, ISSUER, WAYS, People, Requests

BATCH = (
    EACH // 2
)  # few enough that what the front left of them is in the processor's caches, as it is in life

_Authenticate = Callable[[Exchange], object]


class Nothing:
    """The stage where nobody is asked."""

    def __init__(self) -> None:
        self.principal: Principal | None = None

    def authenticate(self, exchange: Exchange) -> None:
        exchange.principal = self.principal


class _Transport:
    """A connection from this machine on which nothing is ever written."""

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 50_000) if name == "peername" else None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """Nothing to limit."""


class Arrivals:
    """The front, and behind it a queue that nobody answers."""

    def __init__(self, config: ServerConfig) -> None:
        self._arrived: list[Exchange] = []
        self._front = HttpFront(
            self._arrived.append,
            limits=FrontLimits(
                header=config.header_timeout,
                body=config.body_timeout,
                idle=config.idle_timeout,
                stalled_reader=config.stalled_reader_timeout,
                max_body=config.max_body,
            ),
            trusted=Networks(),
            next_id=lambda: "bench-00000000",
            loop_time=time.monotonic,
            unix_ns=time.time_ns,
        )

    def batch(self, requests: Requests) -> list[Exchange]:
        """The next BATCH requests, each of them a new connection's first."""
        self._arrived.clear()
        self._front.connections.clear()
        for _ in range(BATCH):
            connection = self._front.connection()
            connection.connection_made(_Transport())
            connection.data_received(next(requests))
        if len(self._arrived) != BATCH:
            raise SystemExit(f"of {BATCH} requests the front took {len(self._arrived)}")
        return self._arrived.copy()


def passed(authenticate: _Authenticate, exchanges: list[Exchange]) -> float:
    """Seconds of CPU time per call."""
    began = time.process_time_ns()
    for exchange in exchanges:
        authenticate(exchange)
    return (time.process_time_ns() - began) / 1e9 / len(exchanges)


def check(exchanges: list[Exchange]) -> None:
    """SystemExit unless every request was proven."""
    strangers = sum(exchange.principal is None for exchange in exchanges)
    if strangers:
        raise SystemExit(f"{strangers} of {len(exchanges)} requests were not proven")


def untold(*_: object, **__: object) -> None:
    """Nobody is asked, and nobody hears of it."""


def measured(way: str, folder: Path, batches: int, *, again: bool) -> dict[str, float]:
    """What the module's docstring says."""
    config, people, loop = Config(server=ServerConfig()), People(), asyncio.new_event_loop()
    nonces = choose_nonces(config, folder, NodeNonces(untold, loop), loop)
    clock, nothing = SystemClock(), Nothing()
    stage = build_authentication(config, people.directory, nonces, ISSUER, clock, untold)
    requests: Requests = getattr(people, way)()
    arrivals = Arrivals(config.server)
    for _ in range(EACH // BATCH):  # every credential and token is known afterwards
        exchanges = arrivals.batch(requests)
        passed(stage.authenticate, exchanges)
        check(exchanges)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as a worker does
    costs: list[tuple[float, float]] = []
    for _ in range(batches):
        exchanges = arrivals.batch(requests)
        if again:
            passed(stage.authenticate, exchanges)
        without = passed(nothing.authenticate, exchanges)
        costs.append((passed(stage.authenticate, exchanges), without))
        check(exchanges)
    nonces.close()
    loop.close()
    return {
        "stage": statistics.median(cost for cost, _ in costs),
        "nothing": statistics.median(without for _, without in costs),
        "added": statistics.median(cost - without for cost, without in costs),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.authenticate")
    parser.add_argument("--way", required=True, choices=WAYS)
    parser.add_argument("--folder", type=Path, required=True, help="where nonces are kept")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--again", action="store_true", help="time the second request with the same head")
    arguments = parser.parse_args()
    print(
        json.dumps(measured(arguments.way, arguments.folder, arguments.batches, again=arguments.again)),
        flush=True,
    )


if __name__ == "__main__":
    main()
