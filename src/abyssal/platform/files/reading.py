"""Tells a worker where the files are that a call names: whose they are is judged here, the worker reads."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abyssal.platform.files.arrival import on_disk
from abyssal.platform.files.rules import is_file_id, key_of
from abyssal.platform.plane import ControlPlane
from abyssal.stores.blobs import Blobs
from abyssal.stores.file_inquiries import Found, Stored, Wanted
from abyssal.stores.sql.files import FileRow, find_files

_wanted = msgspec.msgpack.Decoder(Wanted)
_pack = msgspec.msgpack.Encoder().encode


async def read_files(body: bytes, plane: ControlPlane) -> bytes:
    """A `Found` for a `Wanted`. Raises UnavailableError when the database or the disk cannot be used."""
    wanted = _wanted.decode(body)
    known = [file_id for file_id in wanted.file_ids if is_file_id(file_id)]
    rows = await plane.run(lambda: _rows(plane, wanted.project, known))
    return _pack(Found(await on_disk(lambda: _places(plane.blobs, rows, wanted.file_ids))))


def _rows(plane: ControlPlane, project: str, file_ids: Sequence[str]) -> dict[str, FileRow]:
    with plane.engine.connect() as connection:
        return find_files(connection, project, file_ids, now_ns=plane.clock.unix_ns())


def _places(blobs: Blobs, rows: dict[str, FileRow], file_ids: Sequence[str]) -> list[Stored | None]:
    found: list[Stored | None] = []
    for file_id in file_ids:
        row = rows.get(file_id)
        try:
            path = None if row is None else blobs.find(key_of(row.id))
        except FileNotFoundError:  # it was deleted in this moment
            path = None
        if row is None or path is None:
            found.append(None)
        else:
            found.append(Stored(row.name, row.media_type, row.size, str(path)))
    return found
