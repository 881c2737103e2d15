"""CPU per streamed event: 64 streams, each with one event of 240 bytes every 5 ms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import spawn
from bench.contenders.running import Running
from bench.load import payloads, python
from bench.results import Finding, Row
from bench.rows.contest import Cost, contest, cost_of
from bench.setting import Setting, kept, say
from bench.spawn import BenchError

STREAMS = 64
INTERVAL = 0.005
SECONDS = 5.0

NGINX = Row("gateway CPU per SSE event ÷ nginx, proxy_buffering off", 1.4)
SGLANG = Row("gateway CPU per SSE event ÷ sglang-router", 0.9)
ROWS = (NGINX, SGLANG)


def upstream(
    stack: ExitStack,
    scratch: Path,
    cores: frozenset[int],
    interval: float = INTERVAL,
    *,
    at_once: bool = False,
) -> int:
    """Starts the streaming upstream and returns its port. `interval` is seconds between two events.

    With `at_once` the first text comes with the head.
    """
    port = spawn.free_port()
    arguments = ["--port", str(port), "--interval-ms", str(interval * 1000)]
    if at_once:
        arguments.append("--at-once")
    process = python.launch("sse_upstream", arguments, scratch=scratch, cores=cores, capture=False)
    kept(stack, process)
    spawn.wait_until(lambda: spawn.listening(port), 10, "the SSE upstream", process)
    return port


def read(setting: Setting, relay: Running, events: int) -> dict[str, float]:
    """Reads STREAMS streams of `events` content events to their ends; BenchError when one event is lost."""
    arguments = ["--port", str(relay.port), "--key", relay.key]
    arguments += ["--streams", str(STREAMS), "--events", str(events)]
    # Starts spread over one interval, so that the streams are not in step with each other.
    arguments += ["--stagger-ms", f"{1000 * INTERVAL / STREAMS:.4f}"]
    process = python.launch("sse_reader", arguments, scratch=setting.scratch, cores=setting.cores.load)
    seen = python.result(process, events * INTERVAL * 10 + 30)
    expected = STREAMS * payloads.events_in_stream(events)
    if seen["events"] != expected:
        raise BenchError(f"{expected} events were sent, {seen['events']:.0f} came through {relay.name}")
    return seen


def per_event(setting: Setting, relay: Running) -> Cost:
    """One measurement of a relay, after a quarter of a second of warm-up."""
    seen: dict[str, float] = {}
    events = int(setting.seconds(SECONDS) / INTERVAL)

    def load() -> float:
        seen.update(read(setting, relay, events))
        return seen["events"]

    read(setting, relay, events=50)
    cost = cost_of(relay, load)
    pace = seen["seconds"] / (events * INTERVAL)
    slow = f"; the pace was not kept: {pace:.2f} times as long" if pace > 1.15 else ""
    single = seen["reads"] / seen["events"]
    say(f"{relay.name}, {STREAMS} streams: {cost} per event ({single:.0%} came alone{slow})")
    return cost


def measure(setting: Setting) -> Iterator[Finding]:
    """All contenders in front of one generator of streams."""
    with ExitStack() as stack:
        yield from contest(
            setting,
            upstream(stack, setting.scratch, setting.cores.load),
            buffering=False,
            take=per_event,
            against_nginx=NGINX,
            against_router=SGLANG,
        )
