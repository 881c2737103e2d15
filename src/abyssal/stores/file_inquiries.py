"""What workers ask the control process for a call that names stored files (msgpack)."""

from __future__ import annotations

import msgspec

READ = "files.read"


class Wanted(msgspec.Struct, frozen=True):
    """The files of these ids, if they are the project's."""

    project: str
    file_ids: list[str]


class Stored(msgspec.Struct, frozen=True):
    """One of them: what it is, and the file of this machine that has its `size` bytes."""

    name: str
    media_type: str
    size: int
    path: str


class Found(msgspec.Struct, frozen=True):
    """The files in the order in which they were asked for; None for one that the project does not have."""

    files: list[Stored | None]
