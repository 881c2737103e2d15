"""Reads what a person types, with editing and history where the system's readline is there.

1. A line that ends in a backslash goes on in the next.
2. What was typed is kept at once, so that nothing is lost when the program is killed.
3. A history that cannot be used is said once, and keeps nobody from talking.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from abyssal.cli.history import History

T = TypeVar("T")

_PROMPT = "> "
_MORE = ". "


class Prompt:
    """`warn` gets what the person should know."""

    def __init__(self, history: History, warn: Callable[[str], None]) -> None:
        self._history = history
        self._warn = warn
        self._usable = True
        self._newest = ""
        self._recall = _line_editor()
        sys.stdin.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        for line in self._kept(history.load) or []:
            self._remember(line)

    def read(self) -> str:
        """What was typed next. Raises EOFError at the end of input, KeyboardInterrupt at Ctrl-C."""
        sys.stdout.write("\n")  # not part of the prompt: line editors count its columns
        text = input(_PROMPT)
        while text.endswith("\\"):
            text = f"{text[:-1]}\n{input(_MORE)}"
        if text.strip() and text != self._newest:
            self._remember(text)
            self._kept(lambda: self._history.append(text))
        return text

    def _remember(self, text: str) -> None:
        self._newest = text
        self._recall(text)

    def _kept(self, action: Callable[[], T]) -> T | None:
        """Do something with the history's file, if it can be used."""
        if not self._usable:
            return None
        try:
            return action()
        except OSError as error:
            self._usable = False
            self._warn(f"What you type is not kept for next time: {error.filename}: {error.strerror}.")
            return None


def _line_editor() -> Callable[[str], None]:
    """Switch editing on; gives what adds a line to those that the arrow keys bring back."""
    try:
        import readline
    except ImportError:  # Windows: its console edits lines itself
        return lambda text: None
    readline.set_auto_history(False)  # it would put in each line of several, and empty ones
    return readline.add_history
