"""Stored files in SQL: what they are and whose; their bytes rest elsewhere (`stores.blobs`).

Times are Unix nanoseconds. A file that has expired is nobody's from that moment on, removed or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Select, case, delete, func, insert, or_, select, tuple_

from abyssal.stores.sql.schema import files, projects

BLOCK = 4096  # bytes that a file counts for at least: as many small ones fill a disk's tables too


class FileRow(msgspec.Struct, frozen=True):
    """One file. `sha256` is 32 bytes; `expires_at` is None for never."""

    id: str
    project_id: str
    name: str
    purpose: str
    media_type: str
    size: int
    sha256: bytes
    created_at: int
    expires_at: int | None = None


_ALL = select(*(files.c[name] for name in FileRow.__struct_fields__))


def lock_project(connection: Connection, project_id: str) -> None:
    """Let nobody else add to the project's files until the transaction ends."""
    connection.execute(select(projects.c.id).where(projects.c.id == project_id).with_for_update())


def add_file(connection: Connection, row: FileRow) -> None:
    """Store a new one."""
    connection.execute(insert(files), msgspec.structs.asdict(row))


def find_file(connection: Connection, project_id: str, file_id: str, *, now_ns: int) -> FileRow | None:
    """The project's own file of that id."""
    found = connection.execute(_live(project_id, now_ns).where(files.c.id == file_id)).first()
    return None if found is None else _row(found)


def find_files(
    connection: Connection, project_id: str, file_ids: Sequence[str], *, now_ns: int
) -> dict[str, FileRow]:
    """Those of `file_ids` that are the project's, by id."""
    found = connection.execute(_live(project_id, now_ns).where(files.c.id.in_(file_ids)))
    return {row.id: row for row in map(_row, found)}


def page_files(
    connection: Connection,
    project_id: str,
    *,
    purpose: str | None,
    after: FileRow | None,
    oldest_first: bool,
    count: int,
    now_ns: int,
) -> list[FileRow]:
    """`count` of the project's files behind `after`."""
    query = _live(project_id, now_ns)
    if purpose is not None:
        query = query.where(files.c.purpose == purpose)
    order = (files.c.created_at, files.c.id)
    if after is not None:
        place = (after.created_at, after.id)
        query = query.where(tuple_(*order) > place if oldest_first else tuple_(*order) < place)
    if not oldest_first:
        order = (files.c.created_at.desc(), files.c.id.desc())
    return [_row(found) for found in connection.execute(query.order_by(*order).limit(count))]


def stored_bytes(connection: Connection, project_id: str) -> int:
    """What the project's files count for, expired ones that are still there among them."""
    counted = case((files.c.size > BLOCK, files.c.size), else_=BLOCK)
    query = select(func.coalesce(func.sum(counted), 0)).where(files.c.project_id == project_id)
    return int(connection.execute(query).scalar_one())


def remove_files(connection: Connection, file_ids: Sequence[str]) -> None:
    """Forget them."""
    connection.execute(delete(files).where(files.c.id.in_(file_ids)))


def expired_files(connection: Connection, *, now_ns: int, count: int) -> list[str]:
    """The ids of at most `count` files whose time is over."""
    query = select(files.c.id).where(files.c.expires_at <= now_ns).order_by(files.c.expires_at).limit(count)
    return list(connection.execute(query).scalars())


def known_files(connection: Connection, file_ids: Sequence[str]) -> set[str]:
    """Those of `file_ids` that there are, whoever owns them."""
    return set(connection.execute(select(files.c.id).where(files.c.id.in_(file_ids))).scalars())


def _live(project_id: str, now_ns: int) -> Select[tuple[object, ...]]:
    still_good = or_(files.c.expires_at.is_(None), files.c.expires_at > now_ns)
    return _ALL.where(files.c.project_id == project_id, still_good)


def _row(found: Sequence[object]) -> FileRow:
    return FileRow(*found)  # type: ignore[arg-type]
