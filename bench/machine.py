"""What this machine is: which cores the measured program and its load get, and which tools are missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

TOOLS = ("nginx", "wrk")
APT_LINE = "apt-get update && apt-get install -y --no-install-recommends nginx wrk"

# Debian puts nginx where the PATH of an ordinary user does not look.
_EXTRA_PATH = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/local/bin"))


class MissingToolsError(Exception):
    """Debian packages that the benchmark needs are not installed; the message is the line to type."""


class Cores(msgspec.Struct, frozen=True):
    """Disjoint sets of core numbers, or the same single core twice when there is only one."""

    proxy: frozenset[int]
    load: frozenset[int]

    @property
    def shared(self) -> bool:
        """True when the machine cannot keep the load away from what is measured."""
        return self.proxy == self.load


def cores() -> Cores:
    """One core for what is measured, all others for load and upstream."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        return Cores(frozenset(allowed), frozenset(allowed))
    return Cores(frozenset(allowed[:1]), frozenset(allowed[1:]))


def find_tool(name: str) -> str | None:
    """The full path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=_EXTRA_PATH)


def require_tools(*, install: bool) -> None:
    """Raises MissingToolsError when nginx or wrk is missing and `install` did not, or could not, help."""
    missing = [name for name in TOOLS if find_tool(name) is None]
    if missing and install:
        _apt_install()
        missing = [name for name in TOOLS if find_tool(name) is None]
    if missing:
        sudo = "" if os.geteuid() == 0 else "sudo "
        line = " && ".join(sudo + part for part in APT_LINE.split(" && "))
        raise MissingToolsError(f"{' and '.join(missing)} not found. Type:\n\n    {line}\n")


def _apt_install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("--install needs root and apt-get; nothing was installed.", file=sys.stderr)
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in APT_LINE.split(" && "):
        subprocess.run(command.split(), env=environment, stdout=sys.stderr)


def describe() -> dict[str, str | int | float]:
    """What the report says of the machine. `load_1m` is the load average before the first row."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "nginx": _first_line([find_tool("nginx") or "nginx", "-v"]).removeprefix("nginx version: "),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    return (done.stdout + done.stderr).partition("\n")[0].strip()
