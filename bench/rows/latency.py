"""Added P99 at a constant 1 000 requests/s: through the gateway, less straight to the upstream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import nginx
from bench.load import python
from bench.results import Finding, Row, figure, plain
from bench.setting import Setting, say, started
from bench.spawn import BenchError

RATE = 1000
SECONDS = 20.0

ADDED = Row("added P99 at 1 000 requests/s", 5.0, "ms")
ROWS = (ADDED,)


def one_run(setting: Setting, name: str, port: int, key: str) -> dict[str, float]:
    """One open-loop run; latencies in milliseconds, counted from the intended time of sending."""
    seconds = setting.seconds(SECONDS)
    arguments = ["--port", str(port), "--key", key, "--rate", str(RATE), "--seconds", str(seconds)]
    process = python.launch("open_loop", arguments, scratch=setting.scratch, cores=setting.cores.load)
    seen = python.result(process, seconds + 30)
    if seen["errors"]:
        raise BenchError(f"{seen['errors']:.0f} of {seen['requests']:.0f} calls failed at {RATE}/s ({name})")
    say(
        f"{name}: P50 {seen['p50']:.2f}, P99 {seen['p99']:.2f}, P99.9 {seen['p999']:.2f} ms; "
        f"the generator's own P99 of lateness {seen['sent_late_p99']:.2f} ms"
    )
    return seen


def measure(setting: Setting) -> Iterator[Finding]:
    """Three rounds, gateway and straight in turn."""
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        relay = setting.relay(stack, upstream.port)
        runs = setting.in_turn(
            {
                "through": partial(one_run, setting, "through the gateway", relay.port, relay.key),
                "straight": partial(one_run, setting, "straight to the upstream", upstream.port, ""),
            },
        )
    added = [mine["p99"] - bare["p99"] for mine, bare in zip(runs["through"], runs["straight"], strict=True)]
    medians = [
        sorted(
            mine["p50"] - bare["p50"] for mine, bare in zip(runs["through"], runs["straight"], strict=True)
        )
    ]
    yield plain(
        ADDED,
        added,
        ours=figure(_median(runs["through"], "p99"), "ms"),
        theirs=figure(_median(runs["straight"], "p99"), "ms"),
        note=f"added P50 {medians[0][len(added) // 2]:.2f} ms, "
        f"P99.9 {_median(runs['through'], 'p999') - _median(runs['straight'], 'p999'):.2f} ms",
    )


def _median(runs: list[dict[str, float]], what: str) -> float:
    return sorted(run[what] for run in runs)[len(runs) // 2]
