"""Tokens per second of the bundled model, through the gateway and straight from the engine's socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.contenders import gateway
from bench.contenders.gateway import Gateway
from bench.load import python
from bench.results import Finding, Row, ratio
from bench.setting import Setting, say, started
from bench.spawn import BenchError

MODEL = "deepseek-chat"  # a name that the platform gives to its engine
TOKENS = 128
REPEAT = 12  # one answer of the bundled model takes a tenth of a second
ROUNDS = 5

ONE = Row("engine through the gateway ÷ engine alone, tokens/s, 1 stream", 0.95, at_least=True)
EIGHT = Row("engine through the gateway ÷ engine alone, tokens/s, 8 streams", 0.95, at_least=True)
ROWS = (ONE, EIGHT)

_INODE, _PATH = 6, 7  # columns of /proc/net/unix
_BODY = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Tell me a long story about the deep sea."}],
    "temperature": 0,
    "max_tokens": TOKENS,
    "stream": True,
    "stream_options": {"include_usage": True},
    "ignore_eos": True,
}


def engine_socket(platform: Gateway) -> Path:
    """The Unix socket that the engine's process listens on, found by the socket's inode: proc_pid_fd(5)."""
    paths: dict[str, str] = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split()
        if len(columns) > _PATH:
            paths[f"socket:[{columns[_INODE]}]"] = columns[_PATH]
    for pid in platform.roles()["engine"]:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed between the listing and the look
                path = paths.get(str(descriptor.readlink()))
                if path is not None:
                    return Path(path)
    raise BenchError("the engine's process listens on no Unix socket")


def speed(setting: Setting, name: str, target: list[str], streams: int) -> float:
    """Tokens per second of all streams together; tokens as `usage` counts them."""
    repeat = max(2, round(setting.seconds(REPEAT)))
    arguments = [*target, "--streams", str(streams), "--repeat", str(repeat), "--body", json.dumps(_BODY)]
    cores = setting.cores.proxy | setting.cores.load
    process = python.launch("sse_reader", arguments, scratch=setting.scratch, cores=cores)
    seen = python.result(process, 120)
    if seen["tokens"] < repeat * streams * TOKENS / 8:
        raise BenchError(
            f"only {seen['tokens']:.0f} tokens came from the {name} in {repeat * streams} streams"
        )
    rate = seen["tokens"] / seen["seconds"]
    say(f"{name}, {streams} streams: {seen['tokens']:.0f} tokens, {rate:.0f}/s")
    return rate


def measure(setting: Setting) -> Iterator[Finding]:
    """Five rounds in turn on all cores; one engine serves both sides, so only the way to it differs."""
    if setting.stand_in:
        raise BenchError("nginx has no engine to stand in with")
    everywhere = setting.cores.proxy | setting.cores.load
    with ExitStack() as stack:
        platform = gateway.start(setting.scratch, everywhere, [])
        started(stack, platform)
        ways = {
            "engine alone": ["--uds", str(engine_socket(platform))],
            "engine through the gateway": ["--port", str(platform.port), "--key", platform.key],
        }
        for row, streams in ((ONE, 1), (EIGHT, 8)):
            for name, target in ways.items():
                speed(setting, name, target, streams)
            rates = setting.in_turn(
                {name: partial(speed, setting, name, target, streams) for name, target in ways.items()},
                rounds=setting.rounds if setting.quick else max(setting.rounds, ROUNDS),
            )
            yield ratio(row, rates["engine through the gateway"], rates["engine alone"], unit="tokens/s")
