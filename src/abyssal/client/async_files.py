"""Asynchronous `client.files`: the user's methods."""

from __future__ import annotations

import asyncio
from typing import Unpack

from abyssal.client.async_calls import AsyncCaller
from abyssal.client.file_params import FileListParams, UploadParams, upload_fields
from abyssal.client.params import CallOptions, check_call_options
from abyssal.client.paths import id_path, query
from abyssal.client.routes import DELETE_FILE, FILES, UPLOAD
from abyssal.client.uploads import Content, parse_deleted, parse_file, parse_files, read_content
from abyssal.wire.files import FileDeleted, FileList, FileObject


class AsyncFiles:
    """`client.files`. The methods raise as `chat.completions.create` does; another's id is a 404."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, file: Content, **params: Unpack[UploadParams]) -> FileObject:
        """Stores a file (a path, bytes, or one that is open), to be named by its `id` in a chat's parts.

        The whole of it is held in memory. The further arguments are those of
        `abyssal.client.file_params.UploadParams`. Raises ConfigurationError for a file that cannot be read.
        """
        core = self._caller.core
        fields = upload_fields(params)
        content, name = await asyncio.to_thread(read_content, file, params.get("filename"))
        return parse_file(
            await self._caller.send(core.upload(UPLOAD, name, content, fields, params)), core.secret
        )

    async def list(self, **params: Unpack[FileListParams]) -> FileList:
        """A page of the project's files, newest first unless `order` is "asc"."""
        core = self._caller.core
        tail = query("list", params, FileListParams.__annotations__)
        return parse_files(await self._caller.send(core.call(FILES, None, params, tail=tail)), core.secret)

    async def retrieve(self, file_id: str, /, **options: Unpack[CallOptions]) -> FileObject:
        """What is known of a file: its name, size, purpose."""
        check_call_options("retrieve", options)
        core = self._caller.core
        call = core.call(FILES, None, options, tail=id_path("retrieve", file_id))
        return parse_file(await self._caller.send(call), core.secret)

    async def content(self, file_id: str, /, **options: Unpack[CallOptions]) -> bytes:
        """A file's bytes, all of them."""
        check_call_options("content", options)
        tail = f"{id_path('content', file_id)}/content"
        return (await self._caller.send(self._caller.core.call(FILES, None, options, tail=tail))).content

    async def delete(self, file_id: str, /, **options: Unpack[CallOptions]) -> FileDeleted:
        """Removes a file, for good."""
        check_call_options("delete", options)
        core = self._caller.core
        call = core.call(DELETE_FILE, None, options, tail=id_path("delete", file_id))
        return parse_deleted(await self._caller.send(call), core.secret)
