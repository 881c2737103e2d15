"""Projects in SQL. Times are Unix nanoseconds; None for scopes, models and networks is no limit."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Select, insert, select, update

from abyssal.stores.sql.columns import Position, optional_list, optional_text, page_of
from abyssal.stores.sql.schema import projects


class ProjectRow(msgspec.Struct, frozen=True):
    """One project."""

    id: str
    organization_id: str
    name: str
    scopes: tuple[str, ...] | None
    models: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    created_at: int
    archived_at: int | None = None


_ALL = select(*(projects.c[name] for name in ProjectRow.__struct_fields__))
_LISTS = ("scopes", "models", "networks")


def add_project(connection: Connection, row: ProjectRow, revision: int) -> None:
    """Store a new one."""
    lists = {name: optional_text(getattr(row, name)) for name in _LISTS}
    connection.execute(insert(projects), msgspec.structs.asdict(row) | lists | {"revision": revision})


def find_project(connection: Connection, project_id: str) -> ProjectRow | None:
    """The one of that id, archived or not."""
    found = connection.execute(_ALL.where(projects.c.id == project_id)).first()
    return None if found is None else _row(found)


def page_projects(
    connection: Connection,
    *,
    organization: str | None,
    project: str | None,
    after: Position | None,
    count: int,
) -> list[ProjectRow]:
    """`count` of them after `after`, oldest first; None does not narrow."""
    query = _within(organization)
    if project is not None:
        query = query.where(projects.c.id == project)
    query = page_of(query, projects.c.created_at, projects.c.id, after, count)
    return [_row(found) for found in connection.execute(query)]


def live_projects(
    connection: Connection, organization: str, *, name: str | None, count: int
) -> list[ProjectRow]:
    """The oldest `count` of an organisation that are not archived, of that name unless it is None."""
    query = _within(organization).where(projects.c.archived_at.is_(None))
    if name is not None:
        query = query.where(projects.c.name == name)
    query = page_of(query, projects.c.created_at, projects.c.id, None, count)
    return [_row(found) for found in connection.execute(query)]


def write_project(connection: Connection, row: ProjectRow, revision: int) -> None:
    """Change it to `row`."""
    lists = {name: optional_text(getattr(row, name)) for name in _LISTS}
    connection.execute(
        update(projects)
        .where(projects.c.id == row.id)
        .values(name=row.name, archived_at=row.archived_at, revision=revision, **lists)
    )


def _within(organization: str | None) -> Select[Any]:
    return _ALL if organization is None else _ALL.where(projects.c.organization_id == organization)


def _row(found: Any) -> ProjectRow:
    row_id, organization, name, scopes, models, networks, created_at, archived_at = found
    lists = (optional_list(scopes), optional_list(models), optional_list(networks))
    return ProjectRow(row_id, organization, name, *lists, created_at, archived_at)
