"""Opens the database, its tables as this program wants them. It does not know what the tables mean.

`engine.begin()` is for writing, `engine.connect()` for reading: on SQLite the first takes the only write lock
at once (waiting up to 30 s for it), so that no transaction that has read finds the file locked halfway; the
second takes none, and never waits.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from abyssal.stores.sql.address import database_url, parse_database_url, shown, sqlite_url
from abyssal.stores.sql.migrations import MODULES
from abyssal.stores.sql.migrations.apply import MigrationStatus, bring_up_to_date, status_of
from abyssal.wire.errors import ConfigurationError

__all__ = ["MigrationStatus", "database_url", "migration_status", "open_database", "sqlite_url"]

_BUSY = 30  # seconds that a writer waits for another on SQLite
_WRITES = "abyssal_writes"
# A server that vanished without a word is noticed within half a minute; the address may say otherwise.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "application_name": "abyssal",
}


def open_database(url: str, *, one_connection: bool = False, migrate: bool = True) -> Engine:
    """The database at `url`, made when it is new and migrated when it is old, under a lock.

    A SQLite file is of mode 600 and keeps a write-ahead log. `one_connection` is for a thread that has the
    engine to itself; on SQLite `ChangeWatch` needs it to tell this engine's changes from others'. Without
    `migrate` the database must be there and up to date. Raises ConfigurationError when the database cannot be
    reached or used, when a migration fails (the database is then as it was) and when it is newer than
    this program.
    """
    target = parse_database_url(url)
    if target.get_backend_name() == "sqlite":
        _prepare_file(target, make=migrate)
    engine = engine_for(target, one_connection=one_connection)
    try:
        status = status_of(engine)
        if status.current != status.head:
            if not migrate:
                raise ConfigurationError(
                    f"{status.database}: the tables are of revision {status.current or 'none'}, this program "
                    f"wants {status.head}; run: abyssal db upgrade"
                )
            bring_up_to_date(engine, MODULES)
    except DBAPIError as error:
        engine.dispose()
        raise _unusable(target, error) from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def migration_status(url: str) -> MigrationStatus:
    """Which revision the database at `url` has, and what is missing; nothing is made or changed.

    Raises ConfigurationError when it cannot be read, or is newer than this program.
    """
    target = parse_database_url(url)
    if target.get_backend_name() == "sqlite" and not Path(target.database or "").exists():
        return MigrationStatus(shown(target), "")
    engine = engine_for(target, one_connection=True)
    try:
        return status_of(engine)
    except DBAPIError as error:
        raise _unusable(target, error) from None
    finally:
        engine.dispose()


def engine_for(url: URL, *, one_connection: bool = False) -> Engine:
    """The engine that `open_database` gives, over a database that is left as it is; nothing is opened yet."""
    if url.get_backend_name() == "postgresql":
        patient = url.update_query_dict({**_PATIENCE, **url.query})
        return create_engine(patient, pool_pre_ping=True, pool_size=1 if one_connection else 5)
    # isolation_level None: sqlite3 begins no transaction of its own; the event below begins every one.
    pool = StaticPool if one_connection else None
    made = create_engine(url, connect_args={"timeout": _BUSY, "isolation_level": None}, poolclass=pool)
    engine = _SqliteEngine(made.pool, made.dialect, made.url)
    event.listen(engine.pool, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _SqliteEngine(Engine):
    """`begin()` says that it is going to write; `connect()` does not."""

    @contextmanager
    def begin(self) -> Generator[Connection]:
        with self.connect() as connection:
            connection.info[_WRITES] = True
            with connection.begin():
                yield connection


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.info.pop(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # Changing the mode wants the file alone, so it is asked for once in the file's life.
    if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _prepare_file(url: URL, *, make: bool) -> None:
    """The file with mode 600 from its first moment; SQLite gives its log the same.

    A file that is there is not opened: closing it again would drop the locks that SQLite has in this process
    (POSIX), and another process could then take the log away under an open connection.
    """
    path = Path(url.database or "")
    if not make and not path.exists():
        raise ConfigurationError(
            f"{path}: there is no database; abyssal serve or abyssal db upgrade makes it"
        )
    try:
        if not path.exists():
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: the database cannot be opened ({error.strerror}); check the file and its directory"
        ) from None


def _unusable(url: URL, error: DBAPIError) -> ConfigurationError:
    # psycopg's texts run over several lines, and name the user but never the password.
    reason = " ".join(str(error.orig).split())
    check = (
        "the file and its directory" if url.get_backend_name() == "sqlite" else "database_url and the server"
    )
    return ConfigurationError(f"{shown(url)}: the database cannot be opened ({reason}); check {check}")
