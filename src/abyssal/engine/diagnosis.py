"""Why an engine ended: its exit code and last lines, said in one sentence."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from abyssal.engine.spec import EngineExit

_OURS = "abyssal engine: "
# llama.cpp's log lines: a time, a level, who, and what: "0.00.003.741 E llama_model_load: …"
_THEIRS = re.compile(r"(?:[\d.]+ )?E (?:\S+ +)?[^\s:]+: (?P<what>.*)")
_GENERAL = re.compile(r"error loading model: (?=.)|llama_model_loader: ")
_NO_MEMORY = re.compile(r"insufficient memory|failed to allocate|bad_alloc")
_REFUSALS = frozenset(EngineExit) - {EngineExit.OK, EngineExit.NO_ADDRESS}


def is_refusal(code: int) -> bool:
    """Whether the exit code says that the engine cannot work as things are.

    A taken address is none: it is the last engine on its way out, and gone a moment later.
    """
    return code in _REFUSALS


def explain(code: int, lines: Sequence[str]) -> str:
    """One sentence for the return code of a process (negative: a signal) and the last lines that it wrote."""
    ours = next((line.removeprefix(_OURS) for line in reversed(lines) if line.startswith(_OURS)), "")
    theirs = next((found["what"] for line in lines if (found := _THEIRS.fullmatch(line))), "")
    theirs = _GENERAL.sub("", theirs)
    if code == EngineExit.BAD_MODEL and ours and theirs:
        hint = "; lower context or slots" if _NO_MEMORY.search(theirs) else ""
        return f"{ours.removesuffix('.')}: {theirs}{hint}."
    if ours:
        return ours
    said = theirs or next((line for line in reversed(lines) if line.strip()), "")
    after = f" after {said!r}" if said else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = " (the system kills with SIGKILL when memory runs out)" if -code == signal.SIGKILL else ""
        return f"The engine was ended by {name}{hint}{after}."
    return f"The engine ended with code {code}{after}."
