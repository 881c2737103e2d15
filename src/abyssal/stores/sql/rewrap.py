"""Every column with sealed values, and how a batch of them is given another master key.

A new table with secrets wants a row in `SEALED`; a test compares it with the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Table,
    and_,
    bindparam,
    func,
    literal,
    select,
    tuple_,
    update,
)

from abyssal.stores.sealing import MasterKey, Place, SealError, head_of, key_id_of, rewrapped
from abyssal.stores.sql.schema import (
    conversations,
    credentials,
    idempotency_keys,
    platform_secrets,
    projects,
    secrets,
    token_keys,
    turns,
)
from abyssal.wire.errors import ConfigurationError

PLATFORM = "platform"  # the tenant of what belongs to no organisation


@dataclass(frozen=True)
class Sealed:
    """A table whose column `sealed` is under the master key. `source` has `tenant` for each of its rows."""

    table: Table
    source: FromClause
    tenant: ColumnElement[str]

    @property
    def key(self) -> list[Any]:
        """The primary key's columns."""
        return list(self.table.primary_key)

    def others(self, key_id: str) -> ColumnElement[bool]:
        """True of a row that is sealed with any other key than that one."""
        head = head_of(key_id)
        column = self.table.c.sealed
        return and_(column.is_not(None), func.substr(column, 1, len(head)) != head)

    def place(self, row: Any) -> Place:
        """The place of a row of `next_rows`."""
        return Place(row.tenant, self.table.name, "/".join(map(str, row[: len(self.key)])))


def _of_the_platform(table: Table) -> Sealed:
    return Sealed(table, table, literal(PLATFORM))


SEALED: tuple[Sealed, ...] = (
    _of_the_platform(platform_secrets),
    Sealed(secrets, secrets.join(credentials).join(projects), projects.c.organization_id),
    _of_the_platform(token_keys),
    _of_the_platform(idempotency_keys),
    Sealed(conversations, conversations.join(projects), projects.c.organization_id),
    Sealed(turns, turns.join(conversations).join(projects), projects.c.organization_id),
)


@dataclass
class Batch:
    """What became of some rows. `last` is the primary key to go on after, None at the end."""

    last: tuple[Any, ...] | None = None
    rewrapped: int = 0
    broken: Sequence[str] = ()


def rewrap_batch(
    connection: Connection,
    sealed: Sealed,
    new: MasterKey,
    key_of: Callable[[str], MasterKey],
    *,
    after: tuple[Any, ...] | None,
    size: int,
) -> Batch:
    """Give at most `size` rows beyond `after` the key `new`, in the caller's transaction.

    A row that somebody writes in the meantime is left alone: it has the newest key then. One that cannot be
    opened is named in `broken` and stays as it is.
    """
    rows = _next_rows(connection, sealed, new.id, after, size)
    values: list[dict[str, Any]] = []
    broken: list[str] = []
    for row in rows:
        place = sealed.place(row)
        try:
            fresh = rewrapped(row.sealed, place, key_of(key_id_of(row.sealed)), new)
        except (SealError, ConfigurationError):  # damaged, or its key is lost
            broken.append(f"{place.table} {place.row}")
            continue
        keys = {f"key_{column.name}": row[index] for index, column in enumerate(sealed.key)}
        values.append({**keys, "before": row.sealed, "fresh": fresh})
    if values:
        is_row = [column == bindparam(f"key_{column.name}") for column in sealed.key]
        unchanged = sealed.table.c.sealed == bindparam("before")
        connection.execute(
            update(sealed.table).where(*is_row, unchanged).values(sealed=bindparam("fresh")), values
        )
    last = tuple(rows[-1][: len(sealed.key)]) if len(rows) == size else None
    return Batch(last, len(values), broken)


def count_others(connection: Connection, key_id: str) -> int:
    """How many values are sealed with any other key than that one."""
    return sum(
        connection.execute(
            select(func.count()).select_from(sealed.table).where(sealed.others(key_id))
        ).scalar_one()
        for sealed in SEALED
    )


def _next_rows(
    connection: Connection, sealed: Sealed, key_id: str, after: tuple[Any, ...] | None, size: int
) -> Sequence[Any]:
    query = (
        select(*sealed.key, sealed.table.c.sealed, sealed.tenant.label("tenant"))
        .select_from(sealed.source)
        .where(sealed.others(key_id))
        .order_by(*sealed.key)
        .limit(size)
    )
    if after is not None:
        query = query.where(tuple_(*sealed.key) > tuple_(*after))
    return connection.execute(query).all()
