"""Nonces in two files that take turns. They say what was taken; they do not know what time it is.

1. A record is 24 bytes: 16 of the nonce, then the second in which it has ended (big-endian). It is written
   with one unbuffered call, so a process that is killed leaves it whole or not at all.
2. The end of a file that is no whole record is cut off; so is what a full disk left of one, before the next.
3. When the file at work has grown, and next to nothing in the other is live, that little and the floor (a
   record of sixteen zero bytes) are added to the one at work; then the other is emptied and its turn comes.
   So what is live, and the floor, are in a file at every moment.
4. A lock on the first file keeps a second process out: it would not know what this one takes.

A machine that loses its power loses what the system had not written yet: nothing here waits for a disk.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from abyssal.wire.errors import ConfigurationError

_RECORD = struct.Struct(">16sq")
_FLOOR = bytes(16)
_LONG = 16_384  # records from which on a file may give up its turn
_LITTLE = 64  # of so many records in the file at work, one may have to be carried over
_STEP = 1024  # records until the next look

_log = logging.getLogger("abyssal.gateway")


class _Half:
    """One of the two files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = 0  # bytes that are whole records
        self.torn = False  # whether more may be there
        self.seconds: set[int] = set()

    def append(self, data: bytes) -> bool:
        """Whether `data`, whole records, are in the file now."""
        try:
            if self.torn:
                os.ftruncate(self.fd, self.size)
            self.torn = os.write(self.fd, data) != len(data)
        except OSError:
            self.torn = True
        if not self.torn:
            self.size += len(data)
        return not self.torn

    def empty(self) -> None:
        os.ftruncate(self.fd, 0)
        self.size = 0
        self.seconds.clear()


class NonceFile:
    """See the module. Raises ConfigurationError when `folder` cannot be used."""

    def __init__(self, folder: Path) -> None:
        halves: list[_Half] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            halves += [_Half(folder / "nonces.0"), _Half(folder / "nonces.1")]
            fcntl.flock(halves[0].fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            for half in halves:
                os.close(half.fd)
            why = "another process has it" if isinstance(error, BlockingIOError) else error.strerror
            raise ConfigurationError(
                f"nonces cannot be kept in {folder}: {why}; stop what uses it, or name another folder"
            ) from None
        self._active, self._other = halves
        self._next_look = _LONG
        self._failing = False
        self._closed = False

    @property
    def is_long(self) -> bool:
        """Whether it is time for `take_turns`."""
        return self._active.size >= self._next_look * _RECORD.size

    def load(self) -> tuple[dict[bytes, int], int]:
        """What the files say: the second in which each nonce has ended, and the floor (Unix seconds)."""
        found: dict[bytes, int] = {}
        floor = 0
        for half in (self._active, self._other):
            data = half.path.read_bytes()
            half.size = len(data) - len(data) % _RECORD.size
            os.ftruncate(half.fd, half.size)
            for digest, second in _RECORD.iter_unpack(data[: half.size]):
                if digest == _FLOOR:
                    floor = max(floor, second)
                else:
                    half.seconds.add(second)
                    found[digest] = max(second, found.get(digest, 0))
        if max(self._other.seconds, default=0) > max(self._active.seconds, default=0):
            self._active, self._other = self._other, self._active
        return found, floor

    def append(self, digest: bytes, second: int) -> bool:
        """Whether the nonce is in the file now."""
        if self._closed or not self._append(_RECORD.pack(digest, second)):
            return False
        self._active.seconds.add(second)
        return True

    def take_turns(self, live: Mapping[int, list[bytes]], floor: int) -> None:
        """Begin with the other file, if little of it is `live` (nonces by the second in which they end)."""
        left = [second for second in self._other.seconds if second in live]
        if sum(len(live[second]) for second in left) * _LITTLE > self._active.size // _RECORD.size:
            self._next_look += _STEP
            return
        records = [_RECORD.pack(digest, second) for second in left for digest in live[second]]
        if self._append(b"".join(records) + _RECORD.pack(_FLOOR, floor)):
            self._active.seconds.update(left)
            self._other.empty()
            self._active, self._other = self._other, self._active
            self._next_look = _LONG

    def close(self) -> None:
        """Give up the files and the lock. Safe to do twice."""
        if not self._closed:
            self._closed = True
            os.close(self._active.fd)
            os.close(self._other.fd)

    def _append(self, data: bytes) -> bool:
        written = self._active.append(data)
        if written == self._failing:  # it began to fail, or works again
            self._failing = not written
            if self._failing:
                _log.error("nonces cannot be written to %s; signed requests are refused", self._active.path)
            else:
                _log.warning("nonces are written to %s again", self._active.path)
        return written
