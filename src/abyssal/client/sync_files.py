"""Blocking `client.files`: the user's methods."""

from __future__ import annotations

import secrets

from abyssal.client import uploads
from abyssal.client.sync_calls import Caller
from abyssal.client.timeout import Timeout
from abyssal.client.uploads import Content
from abyssal.wire.files import FileDeleted, FileList, FileObject


class Files:
    """`client.files`. Every method raises as `chat.completions.create` does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        file: Content,
        purpose: str = "user_data",
        filename: str | None = None,
        expires_in: int | None = None,
        timeout: Timeout | float | None = None,
    ) -> FileObject:
        """Store a file: bytes, a path, or a file that is open for reading bytes; it is read whole.

        `filename` is what it is called, its own name if not given; `expires_in` seconds from now it is gone.
        """
        content, name = uploads.read_content(file, filename)
        fields = uploads.upload_fields(purpose, expires_in)
        form = uploads.upload_form(content, name, fields, secrets.token_hex(16))
        core = self._caller.core
        return uploads.parse_file(self._caller.send(core.sent("POST", "/files", form, timeout)), core.secret)

    def list(
        self,
        *,
        purpose: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        order: str | None = None,
    ) -> FileList:
        """A page of the project's files, newest first unless `order` is "asc"; `after` is a file's id."""
        path = uploads.list_path({"purpose": purpose, "limit": limit, "after": after, "order": order})
        core = self._caller.core
        return uploads.parse_files(self._caller.send(core.raw("GET", path, None, None, None)), core.secret)

    def retrieve(self, file_id: str) -> FileObject:
        """What is known of a file."""
        core = self._caller.core
        call = core.raw("GET", uploads.file_path(file_id), None, None, None)
        return uploads.parse_file(self._caller.send(call), core.secret)

    def content(self, file_id: str) -> bytes:
        """A file's bytes, all of them."""
        core = self._caller.core
        call = core.raw("GET", uploads.file_path(file_id, "/content"), None, None, None)
        return self._caller.send(call).content

    def delete(self, file_id: str) -> FileDeleted:
        """Remove a file, for good."""
        core = self._caller.core
        call = core.raw("DELETE", uploads.file_path(file_id), None, None, None)
        return uploads.parse_deleted(self._caller.send(call), core.secret)
