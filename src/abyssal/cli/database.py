"""The database that a command works on: which one it is, opened, its faults in one sentence.

SQLAlchemy takes longer to load than everything else here together: it is imported when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from abyssal.config import Config, data_directory, load_config
from abyssal.wire.errors import LocalError

if TYPE_CHECKING:
    from sqlalchemy import Engine

DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="The database, if it is not the configuration's. Others can see a command's arguments: a "
        "password is better in ABYSSAL_DATABASE_URL, PGPASSWORD or ~/.pgpass.",
    ),
]


class Where(msgspec.Struct, frozen=True):
    """What a command works on. `url` may hold a password: never shown."""

    config: Config
    data: Path
    url: str


def find_database(config: Path | None, data: str | None, database_url: str | None = None) -> Where:
    """By the command's options, the file and the environment. Opens nothing."""
    from abyssal.stores.sql.address import database_url as configured_url

    chosen = load_config(config, os.environ, state_only=True) if config is not None else Config()
    directory = data_directory(chosen, data, os.environ)
    return Where(chosen, directory, database_url or configured_url(chosen.stores, directory, os.environ))


@contextmanager
def opened_database(url: str, *, make: bool = False) -> Generator[Engine]:
    """The database at `url`; with `make` it is made, or brought up to date, where that is needed.

    Raises ConfigurationError when it cannot be used, LocalError when it fails in use.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from abyssal.stores.sql.address import parse_database_url, shown
    from abyssal.stores.sql.database import open_database

    engine = open_database(url, migrate=make)
    try:
        yield engine
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise LocalError(f"{shown(parse_database_url(url))}: {reason}; try again.") from None
    finally:
        engine.dispose()
