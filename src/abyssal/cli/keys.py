"""`abyssal keys`: the platform's API keys, in the database of its data directory.

A platform that is running takes a change over by itself within a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from abyssal.cli.options import DataOption, JsonOption
from abyssal.wire.errors import ConfigurationError, LocalError

if TYPE_CHECKING:
    from abyssal.stores.sql.keys import KeyRow, KeyStore

_LONGEST_NAME = 200  # characters, as the table has it

keys = typer.Typer(
    help="Make, list and revoke the platform's API keys.", invoke_without_command=True, rich_markup_mode=None
)


@keys.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what will use the key.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, once: only its digest is kept. In a pipe: the key alone."""
    from abyssal.cli.terminal import note, print_json, print_line
    from abyssal.clock import SystemClock
    from abyssal.stores.api_keys import new_key

    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(
            f"The key's name is {name!r}; give it 1 to {_LONGEST_NAME} printable characters."
        )
    key = new_key()
    with _opened(data) as store:
        row = store.add(name, key, now_ns=SystemClock().unix_ns())
    if as_json:
        print_json({**_as_object(row), "key": key})
        return
    print_line(key)
    if sys.stdout.isatty():
        note(f"{row.id}, for {name}. Keep it: it is shown this once.")


@keys.command("list")
def list_keys(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the keys, oldest first. A key shows its last four characters."""
    from abyssal.cli.terminal import print_json, print_line, print_table

    with _opened(data) as store:
        rows = store.list()
    if as_json:
        print_json([_as_object(row) for row in rows])
        return
    cells = [_cells(row) for row in rows]
    if sys.stdout.isatty():
        print_table(("id", "name", "key", "made", "revoked"), cells, {"id": "bold", "revoked": "red"})
        return
    for line in cells:
        print_line("\t".join(line))


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `abyssal keys list` shows.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key out of force, for good. Calls that are under way go on to their end."""
    from abyssal.cli.terminal import print_json, print_line
    from abyssal.clock import SystemClock

    with _opened(data) as store:
        revoked = store.revoke(key_id, now_ns=SystemClock().unix_ns())
        rows = store.list()
    found = [row for row in rows if row.id == key_id]
    if not found:
        raise ConfigurationError(f'There is no key with the id "{key_id}"{_meant(key_id, rows)}')
    if as_json:
        print_json(_as_object(found[0]))
    else:
        print_line(f"{key_id} ({found[0].name}) {'is revoked now' if revoked else 'was revoked before'}")


@contextmanager
def _opened(data: str | None) -> Generator[KeyStore]:
    """The key store of the data directory. Raises ConfigurationError where no platform ever ran."""
    from abyssal.cli.connection import data_path
    from abyssal.node.control import DATABASE

    directory = data_path(data, os.environ)
    if not (directory / DATABASE).is_file():
        raise ConfigurationError(
            f"{directory} is no platform's data directory: it has no {DATABASE}. Start `abyssal serve` once, "
            "or name the directory with --data or ABYSSAL_DATA."
        )

    # Only now: SQLAlchemy takes longer to load than everything else here together.
    from sqlalchemy.exc import SQLAlchemyError

    from abyssal.stores.sql.database import open_database
    from abyssal.stores.sql.keys import KeyStore

    database = open_database(directory / DATABASE)
    try:
        yield KeyStore(database)
    except SQLAlchemyError as error:
        raise LocalError(f"{directory / DATABASE}: {getattr(error, 'orig', error)}; try again.") from None
    finally:
        database.dispose()


def _meant(key_id: str, rows: list[KeyRow]) -> str:
    named = [row.id for row in rows if row.name == key_id and row.revoked_at is None]
    if named:
        return f"; keys of that name: {', '.join(named)}."
    return "; `abyssal keys list` shows them."


def _cells(row: KeyRow) -> tuple[str, str, str, str, str]:
    revoked = _moment(row.revoked_at) if row.revoked_at is not None else ""
    return row.id, row.name, f"...{row.hint}", _moment(row.created_at), revoked


def _as_object(row: KeyRow) -> dict[str, object]:
    """Times in ISO 8601, UTC."""
    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "created_at": _moment(row.created_at, utc=True),
        "revoked_at": None if row.revoked_at is None else _moment(row.revoked_at, utc=True),
    }


def _moment(unix_ns: int, *, utc: bool = False) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC)
    return moment.isoformat().replace("+00:00", "Z") if utc else f"{moment.astimezone():%Y-%m-%d %H:%M}"
