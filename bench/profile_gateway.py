"""Where the worker's CPU time goes: `python -m bench.profile_gateway [--sse] [--seconds 10] [--native]`.

Starts a gateway and its upstream as `make bench` does, puts the plain (or streaming) load on it, and lets
py-spy sample the worker. Prints the lines with most samples of their own, and how much of the time was
the kernel's. `--stacks FILE` keeps the folded stacks, which any flame graph tool reads.
py-spy comes with `make bench-peers`; it needs root, or ptrace allowed (kernel.yama.ptrace_scope=0).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from bench import machine, peers
from bench.calm import Watch
from bench.contenders import gateway, nginx
from bench.contenders.gateway import Gateway
from bench.load import wrk
from bench.rows import sse
from bench.setting import Setting, kept, say, started
from bench.spawn import BenchError, Process

_TICKS = os.sysconf("SC_CLK_TCK")
_LINES = 30


def _py_spy() -> str:
    found = shutil.which("py-spy", path=f"{peers.PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise BenchError(f"py-spy is {peers.HOW}")
    return found


def _user_and_system(pid: int) -> tuple[float, float]:
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(columns[11]) / _TICKS, int(columns[12]) / _TICKS


def _load(setting: Setting, platform: Gateway, seconds: float, *, streaming: bool) -> None:
    """Keeps the gateway busy for about `seconds`."""
    if streaming:
        sse.read(setting, platform, int(seconds / sse.INTERVAL))
        return
    wrk.closed_loop(
        setting.scratch,
        setting.cores.load,
        platform.port,
        key=platform.key,
        connections=32,
        seconds=seconds,
    )


def profile(setting: Setting, arguments: argparse.Namespace, stacks: Path) -> tuple[float, float]:
    """Writes folded stacks to `stacks`; the worker's user and system seconds meanwhile."""
    spy = _py_spy()
    with ExitStack() as stack:
        if arguments.sse:
            port = sse.upstream(stack, setting.scratch, setting.cores.load)
        else:
            port = started(stack, nginx.upstream(setting.scratch, setting.cores.load)).port
        platform = gateway.relay(setting.scratch, setting.cores.proxy, port)
        started(stack, platform)
        worker = platform.worker()
        _load(setting, platform, 1, streaming=arguments.sse)
        argv = [spy, "record", "--pid", str(worker), "--duration", str(round(arguments.seconds))]
        argv += [
            "--rate",
            "500",
            "--format",
            "raw",
            "--output",
            str(stacks),
            *["--native"] * arguments.native,
        ]
        before = _user_and_system(worker)
        sampler = Process("py-spy", argv, cores=setting.cores.load, log=setting.scratch / "py-spy.log")
        kept(stack, sampler)
        _load(setting, platform, arguments.seconds + 1, streaming=arguments.sse)
        after = _user_and_system(worker)
        sampler.result(30)
    return after[0] - before[0], after[1] - before[1]


def own_time(stacks: str) -> Counter[str]:
    """Samples by innermost frame, from folded stacks (`outer;inner COUNT` a line)."""
    counted: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, samples = line.rpartition(" ")
        counted[frames.rpartition(";")[2]] += int(samples)
    return counted


def main() -> int:
    """Entry point; exit status 2 when a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_gateway")
    parser.add_argument("--sse", action="store_true", help="64 streams in place of plain calls")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--native", action="store_true", help="frames of extension modules too")
    parser.add_argument("--stacks", type=Path, help="keep the folded stacks in this file")
    arguments = parser.parse_args()
    try:
        machine.require_tools(install=False)
        with tempfile.TemporaryDirectory(prefix="abyssal-bench-") as scratch:
            setting = Setting(cores=machine.cores(), scratch=Path(scratch), watch=Watch(0, say))
            stacks = arguments.stacks or Path(scratch) / "stacks"
            user, system = profile(setting, arguments, stacks)
            counted = own_time(stacks.read_text())
    except (BenchError, machine.MissingToolsError) as error:
        print(error, file=sys.stderr)
        return 2
    total = counted.total() or 1
    print(f"worker: {user:.2f} s user, {system:.2f} s system; {total} samples, by the innermost frame:")
    for frame, samples in counted.most_common(_LINES):
        print(f"{samples / total:6.1%}  {frame}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
