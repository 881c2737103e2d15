"""Blocking `client.files`: the user's methods."""

from __future__ import annotations

from typing import Unpack

from abyssal.client.file_params import FileListParams, UploadParams, upload_fields
from abyssal.client.params import CallOptions, check_call_options
from abyssal.client.paths import id_path, query
from abyssal.client.routes import DELETE_FILE, FILES, UPLOAD
from abyssal.client.sync_calls import Caller
from abyssal.client.uploads import Content, parse_deleted, parse_file, parse_files, read_content
from abyssal.wire.files import FileDeleted, FileList, FileObject


class Files:
    """`client.files`. The methods raise as `chat.completions.create` does; another's id is a 404."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, file: Content, **params: Unpack[UploadParams]) -> FileObject:
        """Stores a file (a path, bytes, or one that is open), to be named by its `id` in a chat's parts.

        The whole of it is held in memory. The further arguments are those of
        `abyssal.client.file_params.UploadParams`. Raises ConfigurationError for a file that cannot be read.
        """
        core = self._caller.core
        fields = upload_fields(params)
        content, name = read_content(file, params.get("filename"))
        call = core.upload(UPLOAD, name, content, fields, params)
        return parse_file(self._caller.send(call), core.secret)

    def list(self, **params: Unpack[FileListParams]) -> FileList:
        """A page of the project's files, newest first unless `order` is "asc"."""
        core = self._caller.core
        tail = query("list", params, FileListParams.__annotations__)
        return parse_files(self._caller.send(core.call(FILES, None, params, tail=tail)), core.secret)

    def retrieve(self, file_id: str, /, **options: Unpack[CallOptions]) -> FileObject:
        """What is known of a file: its name, size, purpose."""
        check_call_options("retrieve", options)
        core = self._caller.core
        call = core.call(FILES, None, options, tail=id_path("retrieve", file_id))
        return parse_file(self._caller.send(call), core.secret)

    def content(self, file_id: str, /, **options: Unpack[CallOptions]) -> bytes:
        """A file's bytes, all of them."""
        check_call_options("content", options)
        tail = f"{id_path('content', file_id)}/content"
        return self._caller.send(self._caller.core.call(FILES, None, options, tail=tail)).content

    def delete(self, file_id: str, /, **options: Unpack[CallOptions]) -> FileDeleted:
        """Removes a file, for good."""
        check_call_options("delete", options)
        core = self._caller.core
        call = core.call(DELETE_FILE, None, options, tail=id_path("delete", file_id))
        return parse_deleted(self._caller.send(call), core.secret)
