"""Stored files as the routes answer with them: OpenAI's File, with two fields of the platform's own.

Source: OpenAI API, "Files". Times are Unix seconds, sizes bytes, `sha256` is hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator

from abyssal.wire.chat import Answer


class FileObject(Answer, frozen=True, kw_only=True, omit_defaults=False):
    """A file."""

    id: str
    object: str = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None
    content_type: str | None = None
    sha256: str | None = None


class FileList(Answer, frozen=True, kw_only=True, omit_defaults=False):
    """A page of files; also an iterable of them. `last_id` goes into `after`."""

    object: str = "list"
    data: list[FileObject]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    def __iter__(self) -> Iterator[FileObject]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class FileDeleted(Answer, frozen=True, kw_only=True, omit_defaults=False):
    """That a file is no more."""

    id: str
    object: str = "file"
    deleted: bool = True
