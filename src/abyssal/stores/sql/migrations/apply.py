"""Brings a database's tables to this program's revision. It does not know how a database is opened.

1. The revision is the row of `alembic_version`. Version 0.1 had no such table: its two tables alone are 0001.
2. An empty database gets all tables at once from `schema.py`, without a migration (and without Alembic).
3. Everything happens in one transaction that holds a lock against other programs; what a lock was waited for
   is read again under it. A failure leaves the database as it was.
4. A revision that this program does not know, or tables that are not ours, are refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from abyssal.stores.sql.address import shown
from abyssal.stores.sql.migrations import HEAD, MODULES, revision_of
from abyssal.stores.sql.revision import IDENTITY
from abyssal.stores.sql.schema import metadata, revisions
from abyssal.wire.errors import ConfigurationError

# As Alembic makes it, so that its own tools read it too.
_version = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True, nullable=False)
)
_version.primary_key.name = "alembic_version_pkc"
_FOUNDATION = {"api_keys", "usage"}
_LOCK = 0x61627973  # PostgreSQL's advisory lock, "abys"; SQLite has one write lock for all
_LOCK_WAIT = "10min"  # another node's migration may rewrite a large table


class MigrationStatus(msgspec.Struct, frozen=True):
    """`database` without its password; `current` is "" for a database without tables."""

    database: str
    current: str
    head: str = HEAD

    @property
    def pending(self) -> tuple[str, ...]:
        """The revisions that are missing, in the order in which they are applied."""
        return tuple(revision for module in MODULES if (revision := revision_of(module)) > self.current)


def status_of(engine: Engine) -> MigrationStatus:
    """Where the database is. Raises ConfigurationError by rule 4, DBAPIError when it cannot be read."""
    name = shown(engine.url)
    with engine.connect() as connection:
        return MigrationStatus(name, _read_revision(connection, name, MODULES))


def bring_up_to_date(engine: Engine, modules: Sequence[str]) -> tuple[str, ...]:
    """Apply what of `modules` is missing; gives the revisions applied, () when another was faster.

    Raises ConfigurationError when the database is not ours or newer, when a migration fails, and when the
    lock cannot be had in ten minutes (SQLite: 30 s).
    """
    name = shown(engine.url)
    with engine.begin() as connection:
        _lock(connection, name)
        current = _read_revision(connection, name, modules)
        if not current:
            _make(connection)
            return (HEAD,)
        return tuple(_migrate(connection, name, current, modules))


def _lock(connection: Connection, name: str) -> None:
    if connection.dialect.name != "postgresql":
        return  # begun with the write lock
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    except DBAPIError as error:
        raise ConfigurationError(
            f"{name}: another program has been migrating it for {_LOCK_WAIT} ({error.orig}); "
            "wait for it to end, or end it, and start again"
        ) from None


def _read_revision(connection: Connection, name: str, modules: Sequence[str]) -> str:
    tables = set(inspect(connection).get_table_names())  # one look: others may be making them meanwhile
    if _version.name not in tables:
        found = tables & metadata.tables.keys()
        if found and found != _FOUNDATION:
            raise ConfigurationError(
                f"{name}: it has tables that are another program's ({', '.join(sorted(found))}); "
                "name a database of its own"
            )
        return revision_of(modules[0]) if found else ""
    found = connection.execute(select(_version.c.version_num)).scalars().all()
    if not found:
        return ""
    if len(found) > 1 or found[0] not in [revision_of(module) for module in modules]:
        raise ConfigurationError(
            f"{name}: its tables are of revision {', '.join(found)}, which this program does not know (it "
            f"knows {revision_of(modules[0])} to {revision_of(modules[-1])}); a newer program made them: run "
            "that one, or restore a backup"
        )
    return found[0]


def _make(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(insert(revisions).values(name=IDENTITY, value=0))
    _version.create(connection, checkfirst=True)
    connection.execute(insert(_version).values(version_num=HEAD))


def _migrate(connection: Connection, name: str, current: str, modules: Sequence[str]) -> list[str]:
    # Alembic takes a quarter of a second to import: only a database that is old waits for it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    _version.create(connection, checkfirst=True)
    if connection.execute(select(_version.c.version_num)).first() is None:
        connection.execute(insert(_version).values(version_num=current))
    applied: list[str] = []
    context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
    with Operations.context(context):
        for module in modules:
            revision = revision_of(module)
            if revision <= current:
                continue
            try:
                importlib.import_module(module).upgrade()
                connection.execute(update(_version).values(version_num=revision))
            except Exception as error:
                reason = error.orig if isinstance(error, DBAPIError) else error
                raise ConfigurationError(
                    f"{name}: migration {revision} failed ({type(reason).__name__}: {reason}); the database "
                    f"is as it was, at {current}; free what is in the way and start again, or go on with the "
                    "program that wrote it"
                ) from error
            applied.append(revision)
    return applied
