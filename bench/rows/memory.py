"""The worker's resident memory: just started, while it relays 512 streams, and with 512 that were left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench import spawn
from bench.contenders.gateway import Gateway
from bench.load import python
from bench.results import Finding, Row, plain
from bench.rows import sse
from bench.setting import Setting, kept, say
from bench.spawn import Memory

STREAMS = 512
INTERVAL = 0.25
EVENTS = 24

IDLE = Row("worker's resident memory, idle", 60.0, "MB")
BUSY = Row("worker's resident memory, 512 open streams", 100.0, "MB")
LEFT = Row("worker's resident memory, 512 resumable streams that nobody reads", 200.0, "MB")
ROWS = (IDLE, BUSY, LEFT)
LEFT_INTERVAL = 0.02
LEFT_SECONDS = 15.0  # in which more comes than is kept
_MB = 1e6


def one_round(setting: Setting) -> tuple[Memory, Memory]:
    """A fresh gateway: its worker idle, and the largest it was while all streams ran."""
    with ExitStack() as stack:
        port = sse.upstream(stack, setting.scratch, setting.cores.load, INTERVAL)
        relay = setting.relay(stack, port, buffering=False)
        pid = relay.worker() if isinstance(relay, Gateway) else spawn.descendants(relay.process.pid)[-1]
        relay.settle()
        idle = spawn.memory(pid)
        arguments = ["--port", str(relay.port), "--key", relay.key]
        arguments += ["--streams", str(STREAMS), "--events", str(EVENTS)]
        reader = python.launch("sse_reader", arguments, scratch=setting.scratch, cores=setting.cores.load)
        kept(stack, reader)
        # All are open after the first second or so, and stay for EVENTS * INTERVAL seconds.
        samples: list[Memory] = []
        spawn.wait_until(
            lambda: samples.append(spawn.memory(pid)) or reader.returncode is not None,
            EVENTS * INTERVAL * 3 + 20,
            "the streams to end",
        )
        python.result(reader, 5)
    busy = max(samples, key=lambda sample: sample.rss)
    say(f"idle {idle.rss / _MB:.1f} MB, {STREAMS} streams {busy.rss / _MB:.1f} MB")
    return idle, busy


def left_round(setting: Setting) -> Memory:
    """A fresh gateway: the largest its worker was while streams went on that their clients had left."""
    with ExitStack() as stack:
        port = sse.upstream(stack, setting.scratch, setting.cores.load, LEFT_INTERVAL)
        relay = setting.relay(stack, port, buffering=False)
        pid = relay.worker() if isinstance(relay, Gateway) else spawn.descendants(relay.process.pid)[-1]
        relay.settle()
        arguments = ["--port", str(relay.port), "--key", relay.key, "--streams", str(STREAMS)]
        arguments += ["--events", "100000", "--leave", "--header", "x-abyssal-resumable: 1"]
        reader = python.launch("sse_reader", arguments, scratch=setting.scratch, cores=setting.cores.load)
        kept(stack, reader)
        python.result(reader, 20)
        samples: list[Memory] = []
        began = time.monotonic()
        spawn.wait_until(
            lambda: samples.append(spawn.memory(pid)) or time.monotonic() - began > LEFT_SECONDS,
            LEFT_SECONDS + 20,
            "the buffers to fill",
        )
    left = max(samples, key=lambda sample: sample.rss)
    say(f"{STREAMS} streams that nobody reads {left.rss / _MB:.1f} MB")
    return left


def measure(setting: Setting) -> Iterator[Finding]:
    """A fresh process for each round: what a second load finds is another question."""
    rounds = [one_round(setting) for _ in range(setting.rounds)]
    left = [left_round(setting) for _ in range(setting.rounds)]
    for row, memories in (
        (IDLE, [idle for idle, _ in rounds]),
        (BUSY, [busy for _, busy in rounds]),
        (LEFT, left),
    ):
        shares = sorted(memory.pss / _MB for memory in memories)
        note = f"PSS (shared pages counted by share) {shares[len(shares) // 2]:.1f} MB"
        yield plain(row, [memory.rss / _MB for memory in memories], note=note)
