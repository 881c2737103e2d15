"""The version number that snapshots follow."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from abyssal.stores.sql.schema import revisions

IDENTITY = "identity"
CHANNEL = "abyssal_identity"  # PostgreSQL's LISTEN/NOTIFY


def next_revision(connection: Connection) -> int:
    """Count one change of identity in the transaction of `connection`, and give its number.

    The row is locked until the transaction ends, so numbers are committed in order: who has read up to N
    has missed nothing before N.
    """
    row = revisions.c.name == IDENTITY
    connection.execute(update(revisions).where(row).values(value=revisions.c.value + 1))
    value = current_revision(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, str(value))))
    return value


def current_revision(connection: Connection) -> int:
    """The newest number, 0 when nothing ever changed."""
    query = select(revisions.c.value).where(revisions.c.name == IDENTITY)
    return connection.execute(query).scalar_one()
