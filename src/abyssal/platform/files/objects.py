"""Files' rows as the objects that the routes answer with."""

from __future__ import annotations

from collections.abc import Sequence

from abyssal.stores.sql.files import FileRow
from abyssal.wire.files import FileList, FileObject

_SECOND = 10**9  # nanoseconds


def file_object(row: FileRow) -> FileObject:
    """As it is shown."""
    return FileObject(
        id=row.id,
        bytes=row.size,
        created_at=row.created_at // _SECOND,
        expires_at=None if row.expires_at is None else row.expires_at // _SECOND,
        filename=row.name,
        purpose=row.purpose,
        content_type=row.media_type,
        sha256=row.sha256.hex(),
    )


def file_list(rows: Sequence[FileRow], *, has_more: bool) -> FileList:
    """A page as it is shown."""
    data = [file_object(row) for row in rows]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FileList(data=data, first_id=first, last_id=last, has_more=has_more)
