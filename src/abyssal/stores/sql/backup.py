"""A backup: the whole database as one SQLite file, whichever kind it comes from or goes to.

It holds secrets as the database does, sealed or hashed; the master key is not in it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from abyssal.stores.sql.address import shown, sqlite_url
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.migrations.apply import status_of
from abyssal.stores.sql.transfer import copy_database
from abyssal.wire.errors import ConfigurationError

_BESIDE = ("", "-wal", "-shm", "-journal")


def write_backup(source: Engine, path: Path, *, overwrite: bool = False) -> dict[str, int]:
    """A consistent copy of `source` in the file `path`, mode 600, there whole or not at all; rows per table.

    Raises ConfigurationError when the file is there already (unless `overwrite`), is the database itself, or
    cannot be written.
    """
    _check_place(source, path, overwrite)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        target = open_database(sqlite_url(partial))
        try:
            counts = copy_database(source, target)
        finally:
            target.dispose()
        _finish(partial, path, overwrite)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        for suffix in _BESIDE:
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    return counts


@contextmanager
def opened_backup(path: Path, *, scratch: Path) -> Generator[Engine]:
    """The backup in `path`, to be copied from. The file itself is only read.

    One of an older program is brought up to date in a copy, in the directory `scratch`. Raises
    ConfigurationError when it is no backup, or a newer program's.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file; name one that `abyssal db backup` wrote")
    source = _read_only(path)
    try:
        if not _pending(source, path):
            yield source
            return
    finally:
        source.dispose()
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=scratch) as directory:
        copy = Path(directory) / path.name
        with closing(_connect_read_only(path)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)
        source = open_database(sqlite_url(copy))
        try:
            yield source
        finally:
            source.dispose()


def _pending(source: Engine, path: Path) -> tuple[str, ...]:
    """The revisions that the backup lacks."""
    try:
        status = status_of(source)
    except DBAPIError as error:
        raise ConfigurationError(
            f"{path}: is no backup ({error.orig}); name one that `abyssal db backup` wrote"
        ) from None
    if not status.current:
        raise ConfigurationError(f"{path}: has no platform's tables; name one that `abyssal db backup` wrote")
    return status.pending


def _check_place(source: Engine, path: Path, overwrite: bool) -> None:
    if source.dialect.name == "sqlite" and Path(shown(source.url)).resolve() == path.resolve():
        raise ConfigurationError(f"{path}: is the database itself; name another file")
    if (path.exists() and not path.is_file()) or not path.absolute().parent.is_dir():
        raise ConfigurationError(f"{path}: is no place for a file; name one in a directory that is there")
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path}: is there already; name another file, or overwrite it with --force")


def _finish(partial: Path, path: Path, overwrite: bool) -> None:
    """One file without a log beside it, on the disk, under its name."""
    with closing(sqlite3.connect(partial)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)
    except FileExistsError:
        raise ConfigurationError(f"{path}: somebody made it meanwhile; name another file") from None


def _read_only(path: Path) -> Engine:
    engine = create_engine(sqlite_url(path), creator=lambda: _connect_read_only(path), poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _connect_read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
