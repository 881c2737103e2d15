"""The long hunt: atheris on every target, for as many minutes in all as is asked.

    python -m tests.fuzz --minutes 10          # all targets, one after another
    python -m tests.fuzz --only sse --minutes 1

What adds coverage is merged into `corpus/`; an input that breaks a target is left in `crashes/` and the hunt
ends with exit 1. Each target runs in a process of its own: libFuzzer never gives control back.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
_MOST_BYTES = 4096
_SLOWEST = 10  # seconds for one input


def main() -> int:
    """Run the hunt; gives the exit status."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="tests.fuzz", description="fuzz the parsers")
    parser.add_argument("--minutes", type=float, default=10, help="in all (10)")
    parser.add_argument("--only", choices=[*TARGETS], help="one target")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else [*TARGETS]
    broken = [name for name in names if not _hunt(name, chosen.minutes * 60 / len(names))]
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs are in {HERE / 'crashes'}")
    return 1 if broken else 0


def _hunt(name: str, seconds: float) -> bool:
    """Fuzz one target and keep what adds coverage; whether it held."""
    saved, crashes = HERE / "corpus" / name, HERE / "crashes"
    saved.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    common = [f"-max_len={_MOST_BYTES}", f"-timeout={_SLOWEST}", "-print_final_stats=0", "-verbosity=1"]
    with tempfile.TemporaryDirectory() as found:
        print(f"{name}: {seconds:.0f} s", flush=True)
        hunt = [*common, f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={crashes}/{name}-"]
        if _child(name, *hunt, found, str(saved)) != 0:
            return False
        return _child(name, *common, "-set_cover_merge=1", str(saved), found) == 0


def _child(name: str, *arguments: str) -> int:
    command = [sys.executable, "-m", "tests.fuzz.child", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    print("\n".join(lines[-25:] if done.returncode else lines[-2:]), flush=True)
    return done.returncode


if __name__ == "__main__":
    try:
        importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is needed: pip install 'abyssal[fuzz]', or type: make test-long")
    sys.exit(main())
