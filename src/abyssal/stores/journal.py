"""The journal: an append-only log that survives `kill -9`, written without a system call per record.

1. A journal is a directory of segments `<writer>-<number>.seg`, each a file of fixed size, mapped into
   memory and shared, so a stored record belongs to the kernel's page cache the moment it is copied and the
   writer's death takes nothing with it. (A power cut may: the operating system decides when pages
   reach the disk, as it does after a plain `write()`.)
2. A segment's blocks are allocated before it is mapped, so a full disk is an error when a segment is
   opened and never a fault when a record is stored.
3. A record is `length:u32 crc32:u32 payload`, little-endian. Length 0 is the end of what was written.
   A record whose checksum is wrong is one that is still being copied, or was cut by a crash: reading stops
   there.
4. One writer per segment; readers follow at any distance. A segment whose successor has begun is complete.
5. A writer has a lock (`flock`) on what it has mapped, from before the first record to its end, however that
   comes. Its next segment is locked before the last is let go, so a writer at work always has one.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from abyssal.stores.records import Record

SEGMENT_BYTES = 4 * 1024 * 1024
_log = logging.getLogger("abyssal.stores")

_HEADER = struct.Struct("<II")
_SUFFIX = ".seg"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


Segment = tuple[str, int, Path]
"""Its writer, its number, its file."""


class JournalFullError(Exception):
    """No segment can be opened: the disk is full or the directory is not writable."""


class JournalWriter:
    """Appends records for one process. `writer` names it (unique among all writers ever)."""

    def __init__(self, directory: Path, writer: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._writer = writer
        self._size = segment_bytes
        self._number = 0
        self._map: mmap.mmap | None = None
        self._at = 0
        self._spare: tuple[int, mmap.mmap] | None = None

    def append(self, record: Record) -> None:
        """Store `record`; when this returns, no crash of this process can lose it.

        Raises JournalFullError when a new segment is needed and cannot be had; nothing is stored then.
        """
        payload = _encode(record)
        end = self._at + 8 + len(payload)
        target = self._map
        if target is None or end > self._size:
            target = self._rotate()
            end = 8 + len(payload)
        target[self._at : end] = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        self._at = end

    @property
    def has_room(self) -> bool:
        """Whether calls may still be opened: False while the second half of a segment is all there is.

        That half (12 000 records) is kept for the ends of calls that are under way, so that a full disk
        refuses new calls and loses no old one.
        """
        return self._spare is not None or (self._map is not None and self._at < self._size // 2)

    def prepare(self) -> None:
        """Open the next segment ahead of need, off the hot path; call it now and then.

        Raises JournalFullError; what is open goes on working.
        """
        if self._spare is None and (self._map is None or self._at >= self._size // 2):
            number = self._number + (self._map is not None)
            self._spare = (number, self._open(number))

    def close(self) -> None:
        """Let go of the files; the reader removes them."""
        for segment in (self._map, self._spare[1] if self._spare else None):
            if segment is not None:
                segment.close()
        if self._spare is not None:
            self._path(self._spare[0]).unlink(missing_ok=True)
        self._map = self._spare = None

    def _rotate(self) -> mmap.mmap:
        if self._spare is None:
            number = self._number + (self._map is not None)
            self._spare = (number, self._open(number))
        if self._map is not None:
            self._map.close()
        self._number, self._map = self._spare
        self._spare = None
        self._at = 0
        return self._map

    def _path(self, number: int) -> Path:
        return self._directory / f"{self._writer}-{number:08d}{_SUFFIX}"

    def _open(self, number: int) -> mmap.mmap:
        path = self._path(number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise JournalFullError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # the mapping's own descriptor keeps it
            _allocate(descriptor, self._size)
            return mmap.mmap(descriptor, self._size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise JournalFullError(f"{path}: {error.strerror}") from error
        finally:
            os.close(descriptor)


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    blank = bytes(65536)  # macOS: only written blocks are surely there
    for _ in range(0, size, len(blank)):
        os.write(descriptor, blank)


class SegmentReader:
    """Follows one segment from its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        self._at = 0

    def read(self) -> Iterator[Record]:
        """The records stored since the last call, in order. Stops before a record that is not whole."""
        while True:
            data = os.pread(self._descriptor, 1 << 20, self._at)
            start = 0
            while start + 8 <= len(data):
                length, checksum = _HEADER.unpack_from(data, start)
                payload = data[start + 8 : start + 8 + length]
                if length == 0 or len(payload) < length or zlib.crc32(payload) != checksum:
                    break
                start += 8 + length
                self._at += 8 + length
                try:
                    yield _decode(payload)
                except msgspec.MsgspecError as error:  # whole, but not of this version
                    _log.error(
                        "%s: a record of %d bytes is unknown and skipped: %s", self.path, length, error
                    )
            if start == 0:
                return

    def is_written(self) -> bool:
        """Whether a writer that lives has the segment open (rule 5)."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        os.close(self._descriptor)


def has_begun(path: Path) -> bool:
    """Whether a segment holds a record."""
    try:
        with path.open("rb") as file:
            return any(file.read(4))
    except FileNotFoundError:
        return False


def segments(directory: Path) -> list[Segment]:
    """The segments in `directory`, each writer's in order."""
    found: list[Segment] = []
    for path in directory.glob(f"*{_SUFFIX}"):
        writer, _, number = path.stem.rpartition("-")
        if writer and number.isdigit():
            found.append((writer, int(number), path))
    return sorted(found)
