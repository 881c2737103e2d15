"""The supervised engine's process: `python -m abyssal.engine.child`, its spec as one line of JSON on stdin.

Standard input stays open as long as the supervisor lives: its end is the engine's end. On Linux the kernel
says so too, which works even while a model loads.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import NoReturn

import msgspec

from abyssal.engine.serving import print_error, serve_until_stopped
from abyssal.engine.spec import EngineExit, EngineSpec
from abyssal.wire.errors import ConfigurationError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> NoReturn:
    """Read the spec, serve, and end the process with an `EngineExit` code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    line = sys.stdin.buffer.readline()
    try:
        spec = msgspec.json.decode(line, type=EngineSpec)
    except (msgspec.MsgspecError, ConfigurationError) as error:
        print_error(f"The spec on standard input is not usable: {error}")
        sys.exit(EngineExit.USAGE)
    serve_until_stopped(spec, parent=sys.stdin.fileno())


def _die_with_parent() -> None:
    """Ask for SIGTERM when the parent ends (prctl(2)); elsewhere only the pipe tells."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
