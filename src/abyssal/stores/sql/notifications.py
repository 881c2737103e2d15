"""What an organisation was told, in SQL. Times are Unix nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, insert, select

from abyssal.stores.sql.columns import Position, page_of
from abyssal.stores.sql.schema import notifications


class NotificationRow(msgspec.Struct, frozen=True):
    """One notification; `subject` is the id of what it is about."""

    id: str
    organization_id: str
    kind: str
    subject: str
    message: str
    created_at: int


_ALL = select(*(notifications.c[name] for name in NotificationRow.__struct_fields__))


def add_notifications(connection: Connection, rows: Iterable[NotificationRow]) -> None:
    """Store new ones."""
    values = [msgspec.structs.asdict(row) for row in rows]
    if values:
        connection.execute(insert(notifications), values)


def page_notifications(
    connection: Connection, *, organization: str | None, after: Position | None, count: int
) -> list[NotificationRow]:
    """`count` of them after `after`, oldest first; of every organisation for None."""
    query = _ALL if organization is None else _ALL.where(notifications.c.organization_id == organization)
    query = page_of(query, notifications.c.created_at, notifications.c.id, after, count)
    return [NotificationRow(*found) for found in connection.execute(query)]
