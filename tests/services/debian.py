"""Where a server's program is; Debian's package is installed when it is missing and that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/*/bin", "/usr/local/opt/*/bin")
_POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian asks before a package may start its server
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")


def program(name: str, package: str) -> str:
    """The path of `name`. Fails the test, with the line to type, when it is missing and cannot be installed."""
    found = _find(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = _find(name)
    if found is None:
        pytest.fail(
            f"{name} is needed and missing; type: sudo apt-get install -y --no-install-recommends {package}",
            pytrace=False,
        )
    return found


def _find(name: str) -> str | None:
    versions = [
        str(place) for pattern in _PLACES for place in sorted(Path("/").glob(pattern[1:]), reverse=True)
    ]
    return shutil.which(name, path=os.pathsep.join(versions)) or shutil.which(name)


def _install(package: str) -> None:
    install = (*_APT, "install", "-y", "-q", "--no-install-recommends", package)
    with _nothing_started():
        if _run(install) != 0:  # perhaps the lists are old, or not there yet
            _run((*_APT, "update", "-q"))
            _run(install)


def _run(command: tuple[str, ...]) -> int:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        print(" ".join(command), done.stdout, done.stderr, sep="\n")
    return done.returncode


@contextmanager
def _nothing_started() -> Iterator[None]:
    """No server of a package that is installed meanwhile is started."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
