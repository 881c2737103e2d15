"""What was typed in conversations, kept for the next: a file of JSON strings, one a line, mode 600."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

KEPT = 1000  # lines; a file that grew to twice as many is cut down to this


class History:
    """The file at `path`. Both methods raise OSError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[str]:
        """The newest, oldest first. What is no JSON string (half a line after a crash) is passed over."""
        try:
            stored = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        if len(stored) > 2 * KEPT:
            self._rewrite(stored[-KEPT:])
        return [line for line in map(_decoded, stored[-KEPT:]) if line]

    def append(self, line: str) -> None:
        """Keep one more. In one write, for other conversations may be writing, too."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self._path, msgspec.json.encode(line) + b"\n", os.O_APPEND)

    def _rewrite(self, lines: list[bytes]) -> None:
        partial = self._path.with_name(f"{self._path.name}.new")
        _write(partial, b"\n".join(lines) + b"\n", os.O_TRUNC)
        partial.replace(self._path)


def _write(path: Path, content: bytes, flag: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _decoded(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
