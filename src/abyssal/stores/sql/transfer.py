"""One database's rows in another, whole or not at all; SQLite and PostgreSQL, either way round.

1. The source is read in one consistent view while others go on writing to it; what they write after the
   beginning is not in the copy.
2. The target must be empty. Everything is written in one transaction, which ends only when each table has as
   many rows on both sides.
3. Tables come in the order of their foreign keys. Sealed values stay sealed: a copy needs the master key.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table, delete, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from abyssal.stores.sql.address import shown
from abyssal.stores.sql.schema import metadata, revisions
from abyssal.wire.errors import ConfigurationError, LocalError


def copy_database(source: Engine, target: Engine, *, batch: int = 5000) -> dict[str, int]:
    """Copy every table, `batch` rows at a time; the rows per table, in the order of copying.

    Both have this program's tables. Raises ConfigurationError, and the target is as it was, when it has rows
    already or does not take a row (PostgreSQL refuses a NUL in a text, and a reference to nothing).
    """
    with _consistent(source) as read, target.begin() as write:
        _check_empty(write, shown(target.url))
        return {table.name: _copy(table, read, write, batch) for table in metadata.sorted_tables}


def row_counts(connection: Connection) -> dict[str, int]:
    """The rows of every table that there is, in the order of copying."""
    known = set(inspect(connection).get_table_names())
    return {table.name: _count(connection, table) for table in metadata.sorted_tables if table.name in known}


@contextmanager
def _consistent(engine: Engine) -> Generator[Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with connection.begin():
            yield connection


def _check_empty(connection: Connection, name: str) -> None:
    for table in metadata.sorted_tables:
        query = select(table).limit(1)
        if table is revisions:  # made with the database, at zero
            query = query.where(revisions.c.value != 0)
        if connection.execute(query).first() is not None:
            raise ConfigurationError(
                f"{name}: the table {table.name} has rows, and only an empty database is copied into; name "
                "another one, or move this one out of the way"
            )
    connection.execute(delete(revisions))


def _copy(table: Table, read: Connection, write: Connection, batch: int) -> int:
    expected = _count(read, table)
    try:
        found = read.execution_options(yield_per=batch).execute(select(table))
        for rows in found.mappings().partitions():
            write.execute(insert(table), [dict(row) for row in rows])
        copied = _count(write, table)
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise ConfigurationError(
            f"The table {table.name} could not be copied ({reason}); the target is as it was."
        ) from None
    if copied != expected:
        raise LocalError(
            f"The table {table.name} has {expected} rows in the source and {copied} in the copy; the target "
            "is as it was. Try again, and report it if it happens again."
        )
    return copied


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
