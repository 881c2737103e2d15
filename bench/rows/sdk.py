"""CPU of the SDK's own process, per plain call and per streamed chunk, against the OpenAI SDK's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import msgspec

from bench import peers
from bench.contenders import nginx
from bench.load import python
from bench.results import Finding, Row, ratio
from bench.rows import sse
from bench.setting import Setting, say, started
from bench.spawn import BenchError

AT_ONCE = 32


class Way(msgspec.Struct, frozen=True):
    """One way to call. `at_once` 0 is the sync client; `events` 0 is a plain call."""

    row: Row
    calls: int
    at_once: int = 0
    events: int = 0


_SYNC = Way(Row("SDK CPU per plain call ÷ OpenAI SDK, sync", 1 / 15), 600)
_ASYNC = Way(Row("SDK CPU per plain call ÷ OpenAI SDK, async, 32 at once", 1 / 15), 960, AT_ONCE)
_SYNC_STREAM = Way(Row("SDK CPU per streamed event ÷ OpenAI SDK, sync", 1 / 5), 1, 0, 600)
_ASYNC_STREAM = Way(
    Row("SDK CPU per streamed event ÷ OpenAI SDK, async, 32 at once", 1 / 5), AT_ONCE, AT_ONCE, 200
)
WAYS = (_SYNC, _ASYNC, _SYNC_STREAM, _ASYNC_STREAM)
ROWS = tuple(way.row for way in WAYS)


def per_unit(setting: Setting, way: Way, sdk: str, interpreter: str, port: int) -> float:
    """Seconds of CPU time per call or chunk, in a process that calls and does nothing else."""
    arguments = [
        "--sdk",
        sdk,
        "--port",
        str(port),
        "--at-once",
        str(way.at_once),
        "--events",
        str(way.events),
    ]
    arguments += ["--calls", str(way.calls), "--warm", str(max(1, way.at_once) if way.events else 64)]
    process = python.launch(
        "sdk_caller", arguments, scratch=setting.scratch, cores=setting.cores.proxy, python=interpreter
    )
    seen = python.result(process, 120)
    # The opening delta's content is null, the last chunk's is empty: the content events and that one count.
    expected = way.calls * ((way.events + 1) if way.events else 1)
    if not expected - way.calls <= seen["units"] <= expected:
        raise BenchError(f"{sdk}: {seen['units']:.0f} came of {expected}")
    cost = seen["cpu"] / seen["units"]
    say(f"{sdk}, {way.row.what.partition('÷')[0].strip()}, {way.at_once or 1} at once: {cost * 1e6:.1f} µs")
    return cost


def measure(setting: Setting) -> Iterator[Finding]:
    """Each way in turn; three rounds of both SDKs."""
    theirs = peers.openai_python()
    with ExitStack() as stack:
        plain = started(stack, nginx.upstream(setting.scratch, setting.cores.load)).port
        streaming = sse.upstream(stack, setting.scratch, setting.cores.load)
        for way in WAYS:
            if theirs is None:
                yield Finding(row=way.row, missing=f"the OpenAI SDK is {peers.HOW}")
                continue
            port = streaming if way.events else plain
            costs = setting.in_turn(
                {
                    "abyssal": partial(per_unit, setting, way, "abyssal", sys.executable, port),
                    "openai": partial(per_unit, setting, way, "openai", theirs, port),
                },
            )
            yield ratio(way.row, costs["abyssal"], costs["openai"], unit="µs", scale=1e6)
