"""Stored files as the routes answer with them: OpenAI's File, with two fields of the platform's own.

Source: OpenAI API, "Files". Times are Unix seconds, sizes bytes, `sha256` is hexadecimal.
"""

from __future__ import annotations

import msgspec


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
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


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files; `last_id` goes into `?after=`."""

    object: str = "list"
    data: list[FileObject]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class FileDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """That a file is no more."""

    id: str
    object: str = "file"
    deleted: bool = True
