"""Node.js with other people's clients in it, installed from a lock into the tests' own folder, once."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1] / "node"
_PATIENCE = 300.0  # seconds for npm


@pytest.fixture(scope="session")
def node_client() -> list[str]:
    """The command that runs a case of tests/node/clients.mjs, when the case's name is added.

    Without Node.js the test is skipped; where `CI` is set it fails, with the line to type.
    """
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        missing = "Node.js and npm are needed and missing; type: sudo apt-get install -y nodejs npm"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    with (HOME / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: one installs, the other waits
        _install(npm)
    return [found, str(HOME / "clients.mjs")]


def _install(npm: str) -> None:
    """Install what the lock says, unless that is what is there."""
    lock, made = HOME / "package-lock.json", HOME / "node_modules" / ".made-from"
    if made.is_file() and made.read_bytes() == lock.read_bytes():
        return
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} failed in {HOME}:\n{done.stdout}{done.stderr}", pytrace=False)
    made.write_bytes(lock.read_bytes())
