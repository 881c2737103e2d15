"""What people see: text that is safe for a terminal, answers as they come, notes beside them.

It knows colours and streams, not what an answer means. What a model or a server wrote is never taken for
markup, and on a terminal its control characters are shown, not obeyed. Rich is loaded only for a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Control characters as their Unicode pictures; C1 controls have none. Line ends of other systems become \n.
_SHOWN: dict[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"},
    **dict.fromkeys(range(128, 160), "\ufffd"),
    127: "\u2421",
    13: None,
}


def safe_text(text: str) -> str:
    """`text` with nothing in it that a terminal would obey; tabs and line feeds stay."""
    return text.translate(_SHOWN)


def new_console(*, stderr: bool = False) -> Console:
    """A Rich console that takes no text for markup and breaks no line of its own accord."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


class AnswerView(Protocol):
    """Where the pieces of an answer go."""

    def reasoning(self, piece: str) -> None:
        """What the model thinks before it answers."""
        ...

    def content(self, piece: str) -> None:
        """The answer."""
        ...

    def end(self) -> None:
        """No more comes; the cursor goes to a fresh line."""
        ...


class PlainView:
    """For pipes and files: the content alone, as it is, and a line feed at its end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = "\n"

    def reasoning(self, piece: str) -> None:
        pass

    def content(self, piece: str) -> None:
        if piece:
            self._out.write(piece)
            self._out.flush()
            self._last = piece[-1]

    def end(self) -> None:
        if self._last != "\n":
            self.content("\n")


class TerminalView:
    """For a terminal: the reasoning dim, an empty line, the content."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._part = ""
        self._last = "\n"

    def reasoning(self, piece: str) -> None:
        self._write("reasoning", piece, "dim")

    def content(self, piece: str) -> None:
        self._write("content", piece, "")

    def end(self) -> None:
        if self._last != "\n":
            self._console.print()
        self._part, self._last = "", "\n"

    def _write(self, part: str, piece: str, style: str) -> None:
        text = safe_text(piece)
        if part != self._part:
            text = text.lstrip("\n")  # models begin with empty lines
            if not text:
                return
            if self._part:
                self._console.print("\n" if self._last != "\n" else "")
            self._part = part
        if text:
            self._print(text, style)
            self._last = text[-1]

    def _print(self, text: str, style: str) -> None:
        from rich.text import Text

        self._console.print(Text(text, style), end="")


def answer_view() -> AnswerView:
    """The view that suits standard output."""
    return TerminalView(new_console()) if sys.stdout.isatty() else PlainView(sys.stdout)


def note(text: str) -> None:
    """A remark on standard error, dim on a terminal."""
    _dimmed(text, sys.stderr)


def say(text: str) -> None:
    """As `note`, on standard output: what a conversation says of itself."""
    _dimmed(text, sys.stdout)


def complain(text: str) -> None:
    """What went wrong, on standard error, as one paragraph."""
    shown = f"abyssal: {' '.join(safe_text(text).split())}"
    if not sys.stderr.isatty():
        sys.stderr.write(f"{shown}\n")
        return
    from rich.text import Text

    coloured = Text.assemble(("abyssal:", "bold red"), shown.removeprefix("abyssal:"))
    new_console(stderr=True).print(coloured, soft_wrap=False)


def _dimmed(text: str, out: TextIO) -> None:
    if not out.isatty():
        out.write(f"{text}\n")
        return
    from rich.text import Text

    new_console(stderr=out is sys.stderr).print(Text(safe_text(text), "dim"), soft_wrap=False)


def print_line(text: str = "") -> None:
    """A line on standard output: safe on a terminal, as it is in a pipe."""
    sys.stdout.write((safe_text(text) if sys.stdout.isatty() else text) + "\n")


def print_json(value: object) -> None:
    """`value` on standard output: indented for a terminal, one line for a pipe."""
    import msgspec

    encoded = msgspec.json.encode(value)
    if sys.stdout.isatty():
        encoded = msgspec.json.format(encoded, indent=2)
    print_line(encoded.decode())


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Mapping[str, str]) -> None:
    """A table on a terminal; `styles` are of columns, by their heads.

    The first column is what commands take: it is never broken, so that it can be picked up whole.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, style=styles.get(head, ""), overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*[Text(safe_text(cell)) for cell in row])
    new_console().print(table, soft_wrap=False)
