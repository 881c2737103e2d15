"""The worker's resident memory: just started, and while it relays 512 streams."""

from __future__ import annotations

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
ROWS = (IDLE, BUSY)
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


def measure(setting: Setting) -> Iterator[Finding]:
    """A fresh process for each round: what a second load finds is another question."""
    rounds = [one_round(setting) for _ in range(setting.rounds)]
    for row, column in ((IDLE, 0), (BUSY, 1)):
        memories = [pair[column] for pair in rounds]
        shares = sorted(memory.pss / _MB for memory in memories)
        note = f"PSS (shared pages counted by share) {shares[len(shares) // 2]:.1f} MB"
        yield plain(row, [memory.rss / _MB for memory in memories], note=note)
