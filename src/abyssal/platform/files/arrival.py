"""A file on its way in: counted, hashed and written as it comes, kept whole or not at all.

1. What is over a limit is refused at the byte that is too much; nothing of it stays.
2. Bytes are on the disk before the row is written, and the row before they get their place: a crash in
   between leaves what `upkeep` finds.
3. Disk work is done on threads of its own, neither on the loop nor on the thread of SQL.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
from collections.abc import Callable
from typing import TypeVar

from abyssal.platform.files.library import Owner, no_room, store_file
from abyssal.platform.files.rules import key_of, new_file_id
from abyssal.platform.plane import ControlPlane
from abyssal.stores.blobs import Arriving
from abyssal.stores.sql.files import FileRow
from abyssal.wire.errors import ApiError, BadRequestError, PayloadTooLargeError, UnavailableError
from abyssal.wire.media_types import LOOKED_AT, media_type_of

T = TypeVar("T")

_AT_ONCE = 1024 * 1024  # bytes that are written together
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

_log = logging.getLogger("abyssal.files")


class Arrival:
    """construct → `add` … → `keep`, or `drop`. `owner` is whose it will be."""

    def __init__(self, plane: ControlPlane, owner: Owner) -> None:
        self.file_id = new_file_id()
        self._plane = plane
        self._owner = owner
        self._size = 0
        self._digest = hashlib.sha256()
        self._head = b""
        self._unwritten: list[bytes] = []
        self._waiting = 0  # bytes in it
        self._arriving: Arriving | None = None

    async def add(self, data: bytes) -> None:
        """Take in the next piece. Raises PayloadTooLargeError, UnavailableError when the disk is full."""
        self._size += len(data)
        self._check_size()
        if len(self._head) < LOOKED_AT:
            self._head += data[: LOOKED_AT - len(self._head)]
        self._unwritten.append(data)
        self._waiting += len(data)
        if self._waiting >= _AT_ONCE:
            await self._write()

    async def keep(self, name: str, purpose: str, expires_at: int | None, *, now_ns: int) -> FileRow:
        """All of it is there: store it for good. Raises BadRequestError for an empty one."""
        if not self._size:
            raise BadRequestError(
                "The file is empty; send one with content.", param="file", code="empty_file"
            )
        await self._write()
        arriving = self._arriving
        assert arriving is not None
        await on_disk(arriving.complete)
        row = FileRow(
            self.file_id,
            self._owner.project,
            name,
            purpose,
            media_type_of(self._head, name),
            self._size,
            self._digest.digest(),
            now_ns,
            expires_at,
        )
        self._arriving = None  # a database that breaks off may have the row: then the upkeep finds out
        try:
            await self._plane.run(lambda: store_file(self._plane, row))
        except PayloadTooLargeError:
            self._arriving = arriving
            raise
        await on_disk(lambda: self._plane.blobs.settle(key_of(self.file_id)))
        return row

    async def drop(self) -> None:
        """Forget it, unless it was kept."""
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            try:
                await asyncio.to_thread(arriving.drop)
            except OSError as error:
                _log.error("what came of %s could not be removed: %s", self.file_id, error)

    def _check_size(self) -> None:
        most = self._plane.files.max_size
        if self._size > most:
            raise PayloadTooLargeError(
                f"The file is over {most} bytes; send a smaller one, or have files.max_size raised.",
                param="file",
            )
        if self._size > self._owner.room:
            raise no_room(self._plane.files)

    async def _write(self) -> None:
        data, self._unwritten, self._waiting = b"".join(self._unwritten), [], 0
        await on_disk(lambda: self._append(data))

    def _append(self, data: bytes) -> None:
        if self._arriving is None:
            self._arriving = self._plane.blobs.receive(key_of(self.file_id))
        self._digest.update(data)
        self._arriving.write(data)


async def on_disk(work: Callable[[], T]) -> T:
    """What `work` gives, done on a thread. Raises UnavailableError for what the disk refuses."""
    try:
        return await asyncio.to_thread(work)
    except FileNotFoundError:
        raise
    except OSError as error:
        _log.error("a file could not be stored or read: %s", error)
        raise storage_fault(error) from None


def storage_fault(error: OSError) -> ApiError:
    """The answer to a fault of the disk."""
    if error.errno in _FULL:
        return UnavailableError(
            "The platform's disk is full, and nothing of the file was kept; try again when the operator has "
            "made room.",
            code="storage_full",
        )
    return UnavailableError(
        "The platform's files cannot be used at the moment; try again shortly.",
        code="storage_unavailable",
        retry_after=1,
    )
