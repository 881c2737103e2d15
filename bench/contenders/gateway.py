"""Abyssal as a contender: the real `abyssal serve` with one worker, and which of its processes does what."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench import spawn
from bench.contenders.running import Running
from bench.load import payloads
from bench.spawn import BenchError, Process

KEYS = "sk-%033d"  # where a platform has many keys, each is this with its number
KEY = KEYS % 0

_CONFIG = """\
[[upstreams]]
name = "up"
kind = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "upstream-secret"

[[models]]
name = "{model}"
targets = [{{ upstream = "up", model = "{model}" }}]
"""


class Gateway(Running):
    """A started platform; roles are `worker`, `control` (drains the journal into SQL) and `engine`."""

    def __init__(self, process: Process, port: int, data: Path) -> None:
        super().__init__("gateway", process, port, KEY)
        self.data = data

    def roles(self) -> dict[str, list[int]]:
        """Told apart by their command lines; whatever is neither worker nor engine is control."""
        roles: dict[str, list[int]] = {"worker": [], "control": [], "engine": []}
        for pid in spawn.descendants(self.process.pid):
            command = spawn.command_line(pid)
            if "abyssal.gateway.worker" in command:
                roles["worker"].append(pid)
            elif "abyssal.engine" in command:
                roles["engine"].append(pid)
            else:
                roles["control"].append(pid)
        return roles

    def ready(self) -> bool:
        """True when `/readyz` answers 200."""
        return spawn.http_status(self.port, "/readyz") == 200

    def worker(self) -> int:
        """The process id of the only worker."""
        pids = self.roles()["worker"]
        if len(pids) != 1:
            raise BenchError(f"one worker process was expected, {len(pids)} are there")
        return pids[0]

    def stop(self) -> None:
        """SIGTERM; running answers get a short grace."""
        self.process.stop(grace=8.0)


def relay(
    scratch: Path,
    cores: frozenset[int],
    upstream_port: int,
    *,
    data: Path | None = None,
    base: Path | None = None,
) -> Gateway:
    """The gateway in front of a plain OpenAI-compatible upstream, everything else at its defaults.

    `base` is a checkout whose sources run in place of ours.
    """
    return start(scratch, cores, in_front_of(scratch, upstream_port), data=data, base=base)


def in_front_of(scratch: Path, upstream_port: int) -> list[str]:
    """The options for that."""
    config = scratch / f"gateway-{upstream_port}.toml"
    config.write_text(_CONFIG.format(upstream=upstream_port, model=payloads.MODEL))
    return ["--config", str(config)]


def start(
    scratch: Path,
    cores: frozenset[int],
    options: list[str],
    *,
    data: Path | None = None,
    base: Path | None = None,
) -> Gateway:
    """`abyssal serve` with one worker on a free port; ready when it returns.

    Without `--config` among the options it runs the embedded engine. `data` is made when it is not given.
    """
    gateway = launch(scratch, cores, options, data=data, base=base)
    try:
        spawn.wait_until(gateway.ready, 60, "/readyz of the gateway", gateway.process)
        gateway.worker()
    except BaseException:
        gateway.stop()
        raise
    return gateway


def launch(
    scratch: Path,
    cores: frozenset[int],
    options: list[str],
    *,
    data: Path | None = None,
    base: Path | None = None,
) -> Gateway:
    """As `start`, but returns at once."""
    port = spawn.free_port()
    data = data or scratch / f"data-{port}"
    argv = [sys.executable, "-m", "abyssal", "serve", "--listen", f"127.0.0.1:{port}"]
    argv += ["--data", str(data), "--workers", "1", *options]
    # The developer's own keys and addresses must not change what is measured.
    ours = ("ABYSSAL_", "DEEPSEEK_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["ABYSSAL_API_KEY"] = KEY
    if base is not None:
        environment["PYTHONPATH"] = str(base / "src")
    process = Process("gateway", argv, cores=cores, log=scratch / f"gateway-{port}.log", env=environment)
    return Gateway(process, port, data)
