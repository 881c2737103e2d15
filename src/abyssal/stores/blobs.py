"""Where the bytes of stored files rest: a protocol, and the directory that keeps it. It knows no owner.

1. A blob is written into `transit/`, and is on the disk (fsync) before it gets its place, `ab/cd/abcd…`. What
   was given its place survives the end of every process and of the machine.
2. A blob that is being removed goes through `transit/` too. So what a crash leaves behind lies there, and
   whoever knows which blobs are owned puts it back or removes it (`left_behind`).
3. A key is lower-case hexadecimal, at least eight digits: nothing that a client names is part of a path.
4. Files are of mode 600, directories of mode 700.

Several nodes need one directory that all of them see.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

_KEY = re.compile(r"[0-9a-f]{8,64}")


class Arriving(Protocol):
    """A blob that is being written. Every method may take as long as a disk does, and raise OSError."""

    def write(self, data: bytes) -> None:
        """Append `data`."""
        ...

    def complete(self) -> None:
        """All of it is there: put it where no crash can take it. It has no place yet."""
        ...

    def drop(self) -> None:
        """Forget it. Harmless after a fault, and any number of times."""
        ...


class Blobs(Protocol):
    """Content by key. Every method may take as long as a disk does, and raise OSError."""

    def receive(self, key: str) -> Arriving:
        """Begin a new blob."""
        ...

    def settle(self, key: str) -> None:
        """Give what was completed, or withdrawn, its place."""
        ...

    def withdraw(self, key: str) -> None:
        """Take the blob out of its place, where a crash from now on leaves nothing that is not looked for."""
        ...

    def remove(self, key: str) -> None:
        """Remove it wherever it is; harmless when it is nowhere."""
        ...

    def find(self, key: str) -> Path:
        """The file that has the content. Raises FileNotFoundError."""
        ...

    def left_behind(self, before: float) -> list[str]:
        """Keys of what has been without a place since `before` (Unix seconds) at least."""
        ...


class BlobDirectory:
    """Blobs below `root`, which is made when it is needed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._transit = root / "transit"

    def receive(self, key: str) -> Arriving:
        path = self._passing(key)
        self._make(self._transit)
        return _File(path)

    def settle(self, key: str) -> None:
        path = self._place(key)
        self._make(path.parent.parent)
        self._make(path.parent)
        os.rename(self._passing(key), path)
        for directory in (path.parent, path.parent.parent, self._root, self._transit):
            _sync_directory(directory)

    def withdraw(self, key: str) -> None:
        passing = self._passing(key)
        self._make(self._transit)
        try:
            os.utime(self._place(key))  # it has been without a place since now
            os.rename(self._place(key), passing)
        except FileNotFoundError:
            pass  # it is there already

    def remove(self, key: str) -> None:
        self._passing(key).unlink(missing_ok=True)  # first: who puts it back takes it from here
        self._place(key).unlink(missing_ok=True)

    def find(self, key: str) -> Path:
        path = self._place(key)
        if path.is_file():
            return path
        passing = self._passing(key)
        if passing.is_file():
            return passing
        raise FileNotFoundError(f"there is no blob {key} in {self._root}")

    def left_behind(self, before: float) -> list[str]:
        try:
            entries = list(os.scandir(self._transit))
        except FileNotFoundError:
            return []
        return sorted(
            entry.name for entry in entries if _KEY.fullmatch(entry.name) and _modified(entry) < before
        )

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)

    def _passing(self, key: str) -> Path:
        return self._transit / _checked(key)

    def _place(self, key: str) -> Path:
        return self._root / key[:2] / key[2:4] / _checked(key)


class _File:
    """A blob in `transit/`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = True
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def complete(self) -> None:
        os.fsync(self._fd)
        self._close()
        _sync_directory(self._path.parent)

    def drop(self) -> None:
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a blob")
    return key


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return float("inf")  # it went while it was looked at


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
