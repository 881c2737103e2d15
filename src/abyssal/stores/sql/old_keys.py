"""The table that version 0.1 kept its API keys in: their plain SHA-256. Read once, then emptied."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, select

from abyssal.stores.sql.schema import api_keys


class OldKeyRow(msgspec.Struct, frozen=True):
    """A key of version 0.1. Times are Unix nanoseconds, `digest` is its SHA-256."""

    id: str
    name: str
    hint: str
    digest: bytes
    created_at: int
    revoked_at: int | None


_ALL = select(*(api_keys.c[name] for name in OldKeyRow.__struct_fields__))


def old_keys(connection: Connection, *, count: int | None = None) -> list[OldKeyRow]:
    """The oldest `count` keys; all for None."""
    query = _ALL.order_by(api_keys.c.created_at, api_keys.c.id).limit(count)
    return [OldKeyRow(*found) for found in connection.execute(query)]


def take_old_keys(connection: Connection) -> list[OldKeyRow]:
    """All keys, which are then no longer there; nothing is lost before the transaction is committed."""
    found = old_keys(connection)
    if found:
        connection.execute(delete(api_keys))
    return found
