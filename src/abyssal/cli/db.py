"""`abyssal db`: what state the platform's database is in, backups, and the way to another database."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from abyssal.cli.database import DatabaseUrlOption, Where, find_database, opened_database
from abyssal.cli.management_options import ConfigOption
from abyssal.cli.options import DataOption, JsonOption
from abyssal.wire.errors import ConfigurationError

db = typer.Typer(
    help="Look after the platform's database.", invoke_without_command=True, rich_markup_mode=None
)

_FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, one SQLite file.")]


@db.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@db.command()
def status(
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the database's state. Which it is, its tables' revision, how many rows they have."""
    from abyssal.cli.terminal import note, print_json, print_line
    from abyssal.stores.sql.database import migration_status
    from abyssal.stores.sql.transfer import row_counts

    url = find_database(config, data, database_url).url
    found = migration_status(url)
    tables: dict[str, int] = {}
    if found.current == found.head:
        with opened_database(url) as engine, engine.connect() as connection:
            tables = row_counts(connection)
    if as_json:
        print_json(
            {
                "database": found.database,
                "revision": found.current or None,
                "head": found.head,
                "pending": list(found.pending),
                "tables": tables,
            }
        )
        return
    print_line(f"database\t{found.database}")
    print_line(f"revision\t{found.current or 'none'}")
    print_line(f"head\t{found.head}")
    if found.pending:
        note("`abyssal db upgrade` brings it up to date; so does the next start.")
    else:
        _show_counts(tables)


@db.command()
def upgrade(
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the tables to this program's revision. Makes them where there are none; starting does too."""
    from abyssal.cli.terminal import print_json, print_line
    from abyssal.stores.sql.database import migration_status

    where = find_database(config, data, database_url)
    before = migration_status(where.url)
    _make_directory(where)
    with opened_database(where.url, make=True):
        pass
    after = migration_status(where.url)
    if as_json:
        print_json({"database": after.database, "before": before.current or None, "revision": after.current})
    elif before.current == after.current:
        print_line(f"{after.database} is at {after.current} already")
    else:
        print_line(f"{after.database} is at {after.current} now, it was at {before.current or 'none'}")


@db.command()
def backup(
    file: _FileArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything into a private file. The platform may go on serving."""
    from abyssal.cli.terminal import note, print_json
    from abyssal.stores.sql.backup import write_backup

    where = find_database(config, data, database_url)
    with opened_database(where.url) as engine:
        counts = write_backup(engine, file, overwrite=force)
    if as_json:
        print_json({"file": str(file), "tables": counts})
    else:
        _show_counts(counts)
    if counts.get("files"):
        from abyssal.config import files_directory

        note(f"The bytes of files are not in {file}: copy {files_directory(where.config, where.data)} too.")
    note(f"The master key is not in {file}, and nobody can use its secrets without it: {_key_place(where)}")


@db.command()
def restore(
    file: _FileArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back. The database must be empty, and no platform run on the data directory."""
    from abyssal.cli.terminal import note, print_json
    from abyssal.node.node import lock_data_directory
    from abyssal.stores.sql.backup import opened_backup
    from abyssal.stores.sql.transfer import copy_database

    where = find_database(config, data, database_url)
    lock = lock_data_directory(where.data)
    try:
        with (
            opened_backup(file, scratch=where.data) as source,
            opened_database(where.url, make=True) as target,
        ):
            counts = copy_database(source, target)
        missing = _missing_key(where)
    finally:
        os.close(lock)
    if as_json:
        print_json({"file": str(file), "tables": counts})
    else:
        _show_counts(counts)
    if missing:
        note(missing)


@db.command()
def copy(
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="An empty database, which it is copied into.")
    ],
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything into another database. From SQLite to PostgreSQL, or any way round."""
    from abyssal.cli.connection import read_node
    from abyssal.cli.terminal import note, print_json
    from abyssal.stores.sql.address import parse_database_url, shown
    from abyssal.stores.sql.transfer import copy_database

    where = find_database(config, data, database_url)
    target_name = shown(parse_database_url(to))
    with opened_database(where.url) as source, opened_database(to, make=True) as target:
        counts = copy_database(source, target)
    if as_json:
        print_json({"from": shown(parse_database_url(where.url)), "to": target_name, "tables": counts})
    else:
        _show_counts(counts)
    if read_node(where.data) is not None:
        note("A platform runs on the data directory: what it has written since is not in the copy.")
    address = to if to.startswith("sqlite") else target_name
    note(f"To use it, set stores.database_url to {address} and start again; the master key stays the same.")


def _show_counts(counts: Mapping[str, int]) -> None:
    """Rows per table: a table on a terminal, tab-separated in a pipe."""
    from abyssal.cli.terminal import print_line, print_table

    rows = [(name, str(count)) for name, count in counts.items()]
    if sys.stdout.isatty():
        print_table(("table", "rows"), rows, {"table": "bold"})
        return
    for row in rows:
        print_line("\t".join(row))


def _make_directory(where: Where) -> None:
    """The data directory, if the database is the file in it."""
    from abyssal.stores.sql.address import FILE, sqlite_url

    if where.url == sqlite_url(where.data / FILE):
        where.data.mkdir(mode=0o700, parents=True, exist_ok=True)


def _key_place(where: Where) -> str:
    from abyssal.stores.master_key import FILE_NAME

    source = where.config.identity.master_key
    if source.env or source.command:
        return "see that your secret manager keeps it, old ones too."
    return f"keep a copy of {source.file or where.data / FILE_NAME} too, in another place."


def _missing_key(where: Where) -> str:
    """What to do about the master key of a database that was brought back; "" when it is at hand."""
    from abyssal.stores.master_key import open_master_keys
    from abyssal.stores.sql.vault import current_key_id

    with opened_database(where.url) as engine:
        key_id = current_key_id(engine)
    try:
        if key_id is not None:
            open_master_keys(where.config.identity.master_key, where.data, os.environ).key(key_id)
    except ConfigurationError as error:
        return f"Before the platform can start: {error.message}"
    return ""
