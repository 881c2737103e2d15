"""What a model or a server wrote reaches the terminal as text: never as markup, never as a command."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from abyssal.cli.terminal import PlainView, TerminalView, print_table, safe_text

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\x7f\u0085"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Screen:
    """A terminal view and what it wrote."""

    def __init__(self, width: int = 80) -> None:
        self._file = io.StringIO()
        console = Console(
            file=self._file, force_terminal=True, width=width, color_system="standard", legacy_windows=False,
            highlight=False, markup=False, emoji=False, soft_wrap=True, _environ={},
        )  # fmt: skip
        self.view = TerminalView(console)

    @property
    def written(self) -> str:
        return self._file.getvalue()

    @property
    def text(self) -> str:
        return COLOURS.sub("", self.written)


def test_control_characters_are_shown_and_not_obeyed() -> None:
    shown = safe_text(EVIL)
    assert shown == "␛]0;owned␇␛[2J�31m␀␡�"
    assert all(character.isprintable() for character in shown)


def test_text_is_left_alone() -> None:
    text = "Grüße, 你好 👋🏽 \t[bold]x[/bold]\nnext"
    assert safe_text(text) == text
    assert safe_text("one\r\ntwo") == "one\ntwo"


def test_a_terminal_gets_reasoning_dim_then_an_empty_line_then_the_content() -> None:
    screen = Screen()
    for piece in ("\n", "Let me", " think"):
        screen.view.reasoning(piece)
    for piece in ("", "\n\n", "The ", "answer"):
        screen.view.content(piece)
    screen.view.end()
    assert screen.text == "Let me think\n\nThe answer\n"
    dim = "".join(re.findall(r"\x1b\[2m(.*?)\x1b\[0m", screen.written))
    assert dim == "Let me think"


def test_reasoning_that_ends_its_line_is_still_followed_by_one_empty_line() -> None:
    screen = Screen()
    screen.view.reasoning("thought\n")
    screen.view.content("said\n")
    screen.view.end()
    assert screen.text == "thought\n\nsaid\n"


def test_markup_and_escapes_of_a_model_are_text() -> None:
    screen = Screen()
    pieces = [
        "[bold red]",
        ":smile:",
        "[/]",
        "[link=x]y",
        "\x1b[31",
        "mred",
        "\x9b2J",
        "https://example.com 'a' 12",
    ]
    for piece in pieces:
        screen.view.content(piece)
    assert screen.written == "[bold red]:smile:[/][link=x]y␛[31mred�2Jhttps://example.com 'a' 12"


def test_long_lines_are_left_to_the_terminal() -> None:
    screen = Screen(width=20)
    text = "a word and " * 10 + "你" * 30 + " trailing   "
    screen.view.content(text)
    assert screen.text == text


def test_a_view_serves_one_answer_after_the_other() -> None:
    screen = Screen()
    for answer in ("first", "second"):
        screen.view.reasoning("hm")
        screen.view.content(answer)
        screen.view.end()
    screen.view.end()
    assert screen.text == "hm\n\nfirst\nhm\n\nsecond\n"


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        (["a", "b"], "ab\n"),
        (["a\n"], "a\n"),
        ([], ""),
        (["", ""], ""),
        ([EVIL], EVIL + "\n"),
        (["\n\na"], "\n\na\n"),
    ],
)
def test_a_pipe_gets_the_content_alone_as_it_is(pieces: list[str], written: str) -> None:
    out = io.StringIO()
    view = PlainView(out)
    view.reasoning("not this")
    for piece in pieces:
        view.content(piece)
    view.end()
    assert out.getvalue() == written


def test_the_first_column_of_a_table_is_never_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "48")
    key_id = "key_0123456789abcdef0123"
    print_table(("id", "name", "made"), [(key_id, "a name of some length", "2026-11-28 17:50")], {})
    first, row, *more = capsys.readouterr().out.splitlines()
    assert first.split() == ["id", "name", "made"]
    assert row.split()[0] == key_id
    assert more  # what did not fit went on below, in the other columns
    assert all(len(line.rstrip()) <= 48 for line in (row, *more))
