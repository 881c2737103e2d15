"""What `client.files` sends and gets back: the form of an upload, the typed values of answers.

No I/O but reading the file that a caller names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from abyssal.client.answer import Answer, decoded
from abyssal.client.settings import Secret
from abyssal.wire.errors import ConfigurationError
from abyssal.wire.files import FileDeleted, FileList, FileObject

Content = bytes | str | os.PathLike[str] | BinaryIO | tuple[str, bytes | BinaryIO]
"""A file's bytes, the path of one, one that is open for reading bytes, or a name with one of these."""

_file = msgspec.json.Decoder(FileObject).decode
_files = msgspec.json.Decoder(FileList).decode
_deleted = msgspec.json.Decoder(FileDeleted).decode


def read_content(file: Content, filename: str | None) -> tuple[bytes, str]:
    """The bytes to send and the name to give them. Raises ConfigurationError for what is no file."""
    if isinstance(file, bytes):
        return file, filename or "file"
    if isinstance(file, str | os.PathLike):
        path = Path(file)
        try:
            return path.read_bytes(), filename or path.name
        except OSError as error:
            raise ConfigurationError(
                f"file: {path} cannot be read ({error.strerror}); name another, or send text as bytes."
            ) from None
    if isinstance(file, tuple):  # as OpenAI's SDK has it
        content, _ = read_content(file[1], None)
        return content, filename or file[0]
    read: Any = getattr(file, "read", None)
    content = read() if callable(read) else None
    if not isinstance(content, bytes):
        raise ConfigurationError(
            f"file: a {type(file).__name__} that gives no bytes; give a path, bytes, or a file that is open "
            "for reading bytes (mode 'rb')."
        )
    own = getattr(file, "name", None)
    return content, filename or (Path(own).name if isinstance(own, str) else "file")


def upload_form(content: bytes, filename: str, fields: Mapping[str, str], boundary: str) -> tuple[bytes, str]:
    """The body and its content type (RFC 7578). `boundary` must not be in the content."""
    parts: list[bytes] = []
    for name, value in fields.items():
        parts.append(
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        )
    quoted = filename.replace("\\", "\\\\").replace('"', "%22").replace("\r", " ").replace("\n", " ")
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "content-type: application/octet-stream\r\n\r\n"
    )
    parts += [head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def parse_file(answer: Answer, secret: Secret) -> FileObject:
    """The file in `answer`. Raises ProtocolError if it is none, as those below do."""
    return decoded(answer, _file, "a file", secret)


def parse_files(answer: Answer, secret: Secret) -> FileList:
    """The page of files in `answer`."""
    return decoded(answer, _files, "a list of files", secret)


def parse_deleted(answer: Answer, secret: Secret) -> FileDeleted:
    """What `answer` says was deleted."""
    return decoded(answer, _deleted, "what was deleted", secret)
