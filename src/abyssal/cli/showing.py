"""The objects of the management routes on standard output: tables for people, lines for pipes, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec

from abyssal.cli.finding import Noun
from abyssal.cli.management import Object
from abyssal.cli.moments import local_time
from abyssal.cli.terminal import note, print_json, print_line, print_table


class Column(msgspec.Struct, frozen=True):
    """A column of a list, or a line of one object. A terminal is not shown what is empty everywhere."""

    head: str
    of: Callable[[Object], str]
    style: str = ""


def text_of(field: str) -> Callable[[Object], str]:
    """The cell of a text, a list of texts, or nothing."""

    def cell(found: Object) -> str:
        value = found.get(field)
        if isinstance(value, list):
            return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return "" if value is None else str(value)

    return cell


def time_of(field: str) -> Callable[[Object], str]:
    """The cell of a time."""
    return lambda found: local_time(found.get(field))


def show_list(objects: Sequence[Object], columns: Sequence[Column], noun: Noun, *, as_json: bool) -> None:
    """A table on a terminal, lines with tabs in a pipe; with `as_json` an array of the routes' objects."""
    if as_json:
        print_json(objects)
        return
    rows = [[column.of(found) for column in columns] for found in objects]
    if not sys.stdout.isatty():
        for row in rows:
            print_line("\t".join(row))
        return
    if not rows:
        note(f"There are no {noun.several}; see: abyssal {noun.command} create --help")
        return
    used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    shown = [columns[place] for place in used]
    styles = {column.head: column.style for column in shown}
    print_table([column.head for column in shown], [[row[place] for place in used] for row in rows], styles)


def show_one(found: Object, columns: Sequence[Column], *, as_json: bool) -> None:
    """What there is to say of one object: a line for each column, its head and a tab before it in a pipe."""
    if as_json:
        print_json(found)
        return
    lines = [(column.head, column.of(found)) for column in columns]
    widest = max(len(head) for head, _ in lines)
    for head, cell in lines:
        if not sys.stdout.isatty():
            print_line(f"{head}\t{cell}")
        elif cell:
            print_line(f"{head:{widest}}  {cell}")


def show_secret(found: Object, secret: str, remark: str, *, as_json: bool) -> None:
    """A secret, alone on its line; on a terminal `remark` after it. With `as_json` the object that has it."""
    if as_json:
        print_json(found)
        return
    print_line(secret)
    if sys.stdout.isatty():
        note(remark)


def show_done(found: Object, sentence: str, *, as_json: bool) -> None:
    """That something was done: the sentence, or the object as it is now."""
    if as_json:
        print_json(found)
    else:
        print_line(sentence)
