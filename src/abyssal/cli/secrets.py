"""`abyssal secrets`: the master key that the platform's secrets rest under."""

from __future__ import annotations

import os
import sys

import typer

from abyssal.cli.database import DatabaseUrlOption, find_database, opened_database
from abyssal.cli.management_options import ConfigOption
from abyssal.cli.options import DataOption, JsonOption

secrets = typer.Typer(
    help="Look after the master key, which the platform's secrets rest under.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@secrets.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@secrets.command()
def rewrap(
    config: ConfigOption = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the master key, while the platform goes on serving. Ended early, it is finished by the next."""
    from abyssal.cli.terminal import note, print_json, print_line, print_table
    from abyssal.clock import SystemClock
    from abyssal.stores.master_key import open_master_keys
    from abyssal.stores.sql.vault import Vault

    where = find_database(config, data, database_url)
    with opened_database(where.url) as engine:
        keys = open_master_keys(where.config.identity.master_key, where.data, os.environ)
        vault = Vault(engine, keys)
        vault.prepare(now_ns=SystemClock().unix_ns())
        counts = vault.rewrap()
        is_shared = engine.dialect.name == "postgresql"
    current = keys.ring[-1]
    if as_json:
        print_json({"key": current, "tables": counts})
    elif sys.stdout.isatty():
        rows = [(name, str(count)) for name, count in counts.items()]
        print_table(("table", "rewrapped"), rows, {"table": "bold"})
    else:
        for name, count in counts.items():
            print_line(f"{name}\t{count}")
    if keys.in_file:
        others = " Copy it to every other machine on this database: they need it now." if is_shared else ""
        note(
            f"{keys.name} has {current} alone now. Keep a copy; backups made before need the one before."
            + others
        )
    elif not any(counts.values()):
        note(
            f"{keys.name} has {current} last, which everything is sealed with already. To change it, put "
            "a line of `abyssal secrets new-key` after it, start the platform again, and run this again."
        )
    elif keys.ring[:-1]:
        note(f"Only backups made before need {', '.join(keys.ring[:-1])} now; take it out of the source.")


@secrets.command("new-key")
def new_key() -> None:
    """Print a fresh master key. For a secret manager, a variable or a file of your own."""
    from abyssal.cli.terminal import print_line
    from abyssal.stores.master_key import ring_line

    print_line(ring_line())
