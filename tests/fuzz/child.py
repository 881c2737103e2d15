"""One target under libFuzzer: `python -m tests.fuzz.child TARGET [libFuzzer's arguments]`."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["abyssal"]):
        from tests.fuzz.targets import TARGETS
    name = sys.argv[1]
    again = f"{sys.executable} -m tests.fuzz.child {name}"  # what libFuzzer starts itself by, to merge
    atheris.Setup([again, *sys.argv[2:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
