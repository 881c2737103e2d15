"""The references that come from the package index, in an environment of their own under bench/scratch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRATCH = HERE / "scratch"
PYTHON = SCRATCH / "peers" / "bin" / "python"

HOW = "not installed: make bench-peers"


def install() -> int:
    """Makes the environment and installs bench/peers.txt into it; the installer's exit status."""
    SCRATCH.mkdir(exist_ok=True)
    if not PYTHON.exists():
        venv.create(SCRATCH / "peers", with_pip=True, symlinks=True)
    pip = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode != 0:
        subprocess.run([str(PYTHON), "-m", "ensurepip", "--upgrade"], check=True)
    # Wheels only: building the router from source would want a Rust toolchain and a quarter of an hour.
    command = [*pip, "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    status = subprocess.run([*command, "-r", str(HERE / "peers.txt")]).returncode
    if status != 0:
        print(
            "The peers could not be installed; without them `make bench` leaves their rows out.",
            file=sys.stderr,
        )
        return status
    for module in ("sglang_router", "openai"):
        print(f"{module}: {'ready' if _has(module) else 'MISSING'} in {PYTHON.parent.parent}")
    return 0


def has_router() -> bool:
    """True when the router can be started."""
    return PYTHON.exists() and _has("sglang_router")


def openai_python() -> str | None:
    """An interpreter that has the OpenAI SDK: this one, else the peers', else None."""
    if importlib.util.find_spec("openai") is not None:
        return sys.executable
    return str(PYTHON) if PYTHON.exists() and _has("openai") else None


def _has(module: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([str(PYTHON), "-c", code], capture_output=True).returncode == 0
