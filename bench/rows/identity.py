"""What it costs to know who calls: *authenticate* for each way in, and a million credentials in memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial
from itertools import count

import msgspec

from bench import spawn
from bench.contenders import gateway
from bench.contenders.many_keys import data_with
from bench.load import python
from bench.results import Finding, Row, figure, plain
from bench.setting import Setting, say
from bench.spawn import BenchError, Memory

BATCHES = 300  # of a hundred calls
CREDENTIALS = 1_000_000


class Way(msgspec.Struct, frozen=True):
    """One way in: `name` is what `bench.load.people` calls it; `again` times the second of two like heads."""

    row: Row
    name: str
    again: bool = False


WAYS = (
    Way(Row("API key, over no authentication", 3.0, "µs"), "api_key"),
    Way(Row("API key, the same again on its connection", None, "µs"), "api_key", again=True),
    Way(Row("access token once seen, over no authentication", 5.0, "µs"), "access_token"),
    Way(Row("self-issued JWT once seen, over no authentication", None, "µs"), "self_issued"),
    Way(Row("signed request, over no authentication", 25.0, "µs"), "signed_request"),
    Way(Row("RFC 9421 hmac-sha256, over no authentication", 100.0, "µs"), "message_hmac"),
    Way(Row("RFC 9421 ed25519, over no authentication", 100.0, "µs"), "message_ed25519"),
)
READY = Row("from serve to /readyz 200 with 1 000 000 credentials", 20.0, "s")
MEMORY = Row("worker and control process with 1 000 000 credentials, largest", 1000.0, "MB")
ROWS = (*(way.row for way in WAYS), READY, MEMORY)
_MB = 1e6


def per_call(setting: Setting, way: Way, folders: Iterator[int]) -> dict[str, float]:
    """Microseconds of CPU time per call, by what the program is timing."""
    arguments = ["--way", way.name, "--folder", str(setting.scratch / f"nonces-{next(folders)}")]
    arguments += ["--batches", str(BATCHES // 3 if setting.quick else BATCHES)]
    arguments += ["--again"] * way.again
    process = python.launch("authenticate", arguments, scratch=setting.scratch, cores=setting.cores.proxy)
    seen = {what: seconds * 1e6 for what, seconds in python.result(process, 120).items()}
    say(f"{way.row.what}: {seen['added']:.2f} µs")
    return seen


class Loaded(msgspec.Struct, frozen=True):
    """One start: seconds until ready, and what the processes then hold."""

    seconds: float
    memory: dict[str, Memory]


def one_load(setting: Setting) -> Loaded:
    """Starts a platform on a database of CREDENTIALS keys, on all cores, as a person would."""
    everywhere = setting.cores.proxy | setting.cores.load
    data = data_with(setting.scratch, CREDENTIALS)
    options = gateway.in_front_of(setting.scratch, spawn.free_port())
    began = time.perf_counter()
    platform = gateway.launch(setting.scratch, everywhere, options, data=data)
    try:
        spawn.wait_until(platform.ready, 120, "/readyz of the platform", platform.process)
        seconds = time.perf_counter() - began
        platform.settle()
        memory = {role: spawn.memory(pid) for role, pids in platform.roles().items() for pid in pids}
    finally:
        platform.stop()
    shown = ", ".join(
        f"{role} {of.rss / _MB:.0f} MB (largest {of.peak / _MB:.0f})" for role, of in memory.items()
    )
    say(f"{CREDENTIALS} credentials: ready in {seconds:.1f} s, {shown}")
    return Loaded(seconds, memory)


def measure(setting: Setting) -> Iterator[Finding]:
    """Each way in its own process, then whole platforms. With `--quick` one start is enough."""
    folders = count()
    takes = {way.row.what: partial(per_call, setting, way, folders) for way in WAYS}
    costs = setting.in_turn(takes)
    for way in WAYS:
        seen = costs[way.row.what]
        yield plain(
            way.row,
            [each["added"] for each in seen],
            ours=figure(statistics.median(each["stage"] for each in seen), "µs"),
            theirs=figure(statistics.median(each["nothing"] for each in seen), "µs"),
        )
    if setting.stand_in:
        raise BenchError("nginx has no credentials to stand in with")
    say(f"a database of {CREDENTIALS} credentials ...")
    data_with(setting.scratch, CREDENTIALS)
    loads = setting.in_turn({"load": partial(one_load, setting)}, rounds=1 if setting.quick else 0)["load"]
    yield plain(READY, [load.seconds for load in loads])
    largest = [sum(memory.peak for memory in load.memory.values()) / _MB for load in loads]
    calm = loads[len(loads) // 2].memory
    note = ", ".join(f"{role} {memory.rss / _MB:.0f} MB" for role, memory in calm.items())
    yield plain(MEMORY, largest, note=f"once ready: {note}")
