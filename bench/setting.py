"""What all rows of one run share: the cores, the scratch directory, how often and how long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.calm import Watch
from bench.contenders import gateway, nginx
from bench.contenders.running import Running
from bench.machine import Cores
from bench.spawn import Process

T = TypeVar("T")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


class Setting(msgspec.Struct, frozen=True):
    """`stand_in` puts a second nginx where the gateway would be: the method must then find a ratio of 1.

    `base` is a checkout of an earlier version, to be compared with.
    """

    cores: Cores
    scratch: Path
    watch: Watch
    rounds: int = 3
    quick: bool = False
    stand_in: bool = False
    base: Path | None = None

    def in_turn(self, takes: Mapping[str, Callable[[], T]], rounds: int = 0) -> dict[str, list[T]]:
        """A B C A B C ...: what the machine does meanwhile falls on all alike. Results by name.

        `rounds` 0 is the setting's own number; a take that other programs disturbed is repeated.
        """
        results: dict[str, list[T]] = {name: [] for name in takes}
        for _ in range(rounds or self.rounds):
            for name, take in takes.items():
                results[name].append(self.watch.take(take))
        return results

    def seconds(self, usual: float) -> float:
        """How long one measurement lasts; a third with `--quick`."""
        return max(1.0, usual / 3) if self.quick else usual

    def relay(self, stack: ExitStack, upstream_port: int, *, buffering: bool = True) -> Running:
        """The gateway (or its stand-in) in front of an upstream; ended with the stack."""
        if self.stand_in:
            return started(
                stack,
                nginx.relay(
                    self.scratch, self.cores.proxy, upstream_port, buffering=buffering, name="stand-in"
                ),
            )
        return started(stack, gateway.relay(self.scratch, self.cores.proxy, upstream_port))


def started(stack: ExitStack, running: Running) -> Running:
    """The contender, to be ended with the stack."""
    stack.callback(running.stop)
    return running


def kept(stack: ExitStack, process: Process) -> Process:
    """The process, to be ended with the stack."""
    stack.callback(process.stop)
    return process
