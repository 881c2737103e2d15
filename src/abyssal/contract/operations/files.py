"""Files: stored for chats, batches and training, under two roots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from abyssal.contract.answers import UploadForm
from abyssal.contract.operation import JSON, Answer, Body, Operation, Parameter
from abyssal.wire.files import FileDeleted, FileList, FileObject

MULTIPART = "multipart/form-data"

_ID = Parameter("id", "path", "The file's id.", required=True)
_RANGE = Parameter("Range", "header", "Only this part, such as `bytes=0-1023`.")
_QUERY = (
    Parameter("purpose", "query", "Only files of this purpose."),
    Parameter("limit", "query", "How many; 1000 unless said.", Annotated[int, Meta(ge=1, le=10_000)]),
    Parameter("after", "query", "The `last_id` of the page before."),
    Parameter("order", "query", "`desc`, newest first, unless `asc`.", Literal["asc", "desc"]),
)
_UPLOAD = '-H "Authorization: Bearer $KEY" -F purpose=user_data -F "file=Hello.;filename=hello.txt"'

_BYTES = (
    Body("application/octet-stream", says="Of what type the content is."),
    Body("text/plain; charset=utf-8"),
)


def _operations() -> Iterator[Operation]:
    for root, end in (("/v1/files", ""), ("/files", "Short")):
        short = ", short address" if end else ""

        def says(text: str, path: str = root, end: str = end) -> str:
            return f"The same as `/v1{path}`." if end else text

        yield Operation(
            id=f"createFile{end}",
            method="POST",
            path=root,
            tag="Files",
            summary=f"Store a file{short}",
            says=says("It is on the disk before it is answered, and seen by its project alone."),
            scope="files",
            bodies=(Body(MULTIPART, UploadForm),),
            answers=(Answer("The file.", (Body(JSON, FileObject),)),),
            errors=(408, 413, 415),
            curl=f'curl -sS "$BASE{root}" {_UPLOAD}',
            python='client.files.create(file=b"Hello.", filename="hello.txt", purpose="user_data")',
        )
        yield Operation(
            id=f"listFiles{end}",
            method="GET",
            path=root,
            tag="Files",
            summary=f"List files{short}",
            says=says("Those of the credential's project."),
            scope="files",
            parameters=_QUERY,
            answers=(Answer("A page.", (Body(JSON, FileList),)),),
            python="" if end else "client.files.list()",
        )
        yield Operation(
            id=f"showFile{end}",
            method="GET",
            path=f"{root}/{{id}}",
            tag="Files",
            summary=f"Show a file{short}",
            says=says("", f"{root}/{{id}}"),
            scope="files",
            parameters=(_ID,),
            answers=(Answer("The file.", (Body(JSON, FileObject),)),),
            errors=(404,),
            names=(("id", "FILE_ID"),),
            python="" if end else "client.files.retrieve(file_id)",
        )
        yield Operation(
            id=f"deleteFile{end}",
            method="DELETE",
            path=f"{root}/{{id}}",
            tag="Files",
            summary=f"Delete a file{short}",
            says=says("", f"{root}/{{id}}"),
            scope="files",
            parameters=(_ID,),
            answers=(Answer("It is gone.", (Body(JSON, FileDeleted),)),),
            errors=(404,),
            names=(("id", "FILE_ID"),),
            python="" if end else "client.files.delete(file_id)",
        )
        yield Operation(
            id=f"downloadFile{end}",
            method="GET",
            path=f"{root}/{{id}}/content",
            tag="Files",
            summary=f"Download a file{short}",
            says=says("As an attachment of its sniffed type; `Range` is heeded.", f"{root}/{{id}}/content"),
            scope="files",
            parameters=(_ID, _RANGE),
            answers=(Answer("Its bytes.", _BYTES), Answer("The part asked for.", _BYTES, 206)),
            errors=(404, 416),
            names=(("id", "FILE_ID"),),
            python="client.files.content(file_id)"
            if not end
            else f'client.request("GET", f"{root}/{{file_id}}/content").content',
        )


FILES: tuple[Operation, ...] = tuple(_operations())
"""Under `/v1/files`, and the same under `/files`."""
