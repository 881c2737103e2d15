"""Organisations in SQL. Times are Unix nanoseconds; None for scopes, models and networks is no limit."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from abyssal.stores.sql.columns import Position, optional_list, optional_text, page_of
from abyssal.stores.sql.schema import organizations, projects


class OrganizationRow(msgspec.Struct, frozen=True):
    """One organisation."""

    id: str
    name: str
    scopes: tuple[str, ...] | None
    models: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    created_at: int
    archived_at: int | None = None


_ALL = select(*(organizations.c[name] for name in OrganizationRow.__struct_fields__))
_LISTS = ("scopes", "models", "networks")


def add_organization(connection: Connection, row: OrganizationRow) -> None:
    """Store a new one."""
    values = msgspec.structs.asdict(row) | {name: optional_text(getattr(row, name)) for name in _LISTS}
    connection.execute(insert(organizations), values)


def find_organization(connection: Connection, organization_id: str) -> OrganizationRow | None:
    """The one of that id, archived or not."""
    found = connection.execute(_ALL.where(organizations.c.id == organization_id)).first()
    return None if found is None else _row(found)


def page_organizations(
    connection: Connection, *, organization: str | None, after: Position | None, count: int
) -> list[OrganizationRow]:
    """`count` of them after `after`, oldest first; only `organization` unless it is None."""
    query = _ALL if organization is None else _ALL.where(organizations.c.id == organization)
    query = page_of(query, organizations.c.created_at, organizations.c.id, after, count)
    return [_row(found) for found in connection.execute(query)]


def live_organizations(connection: Connection, *, name: str | None, count: int) -> list[OrganizationRow]:
    """The oldest `count` that are not archived, of that name unless it is None."""
    query = _ALL.where(organizations.c.archived_at.is_(None))
    if name is not None:
        query = query.where(organizations.c.name == name)
    query = page_of(query, organizations.c.created_at, organizations.c.id, None, count)
    return [_row(found) for found in connection.execute(query)]


def write_organization(connection: Connection, row: OrganizationRow, revision: int) -> None:
    """Change it to `row`, and stamp its projects: its limits are folded into theirs."""
    connection.execute(
        update(organizations)
        .where(organizations.c.id == row.id)
        .values(
            name=row.name, archived_at=row.archived_at, **{n: optional_text(getattr(row, n)) for n in _LISTS}
        )
    )
    connection.execute(update(projects).where(projects.c.organization_id == row.id).values(revision=revision))


def _row(found: Any) -> OrganizationRow:
    row_id, name, scopes, models, networks, created_at, archived_at = found
    lists = (optional_list(scopes), optional_list(models), optional_list(networks))
    return OrganizationRow(row_id, name, *lists, created_at, archived_at)
