"""Files that a service keeps, blocking and asyncio, over both transports."""

from __future__ import annotations

import io
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from abyssal import (
    ApiConnectionError,
    ConfigurationError,
    FileObject,
    NotFoundError,
    OpenAICompatibilityError,
)

from .face import Face, opened_face
from .raw_server import RawServer, Received, answer, error_body

FILE = {
    "id": "file-api-1",
    "object": "file",
    "bytes": 3,
    "created_at": 5,
    "filename": "a.txt",
    "purpose": "vision",
}


def form(request: Received) -> dict[str, tuple[str | None, bytes]]:
    """The parts of a form: file name and content by name, as Python's own parser of MIME has them."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    parts: Any = BytesParser().parsebytes(head + request.body).get_payload()
    found: dict[str, tuple[str | None, bytes]] = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        found[name] = part.get_filename(), part.get_payload(decode=True)
    return found


@pytest.mark.parametrize("given", ["path", "Path", "bytes", "open", "named", "renamed"])
def test_a_file_is_sent(server: RawServer, face: Face, tmp_path: Path, given: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\r\n--x")
    server.will(answer(FILE))
    with path.open("rb") as opened:
        file: Any = {
            "path": str(path),
            "Path": path,
            "bytes": b"\xff\r\n--x",
            "open": opened,
            "named": ("b.txt", io.BytesIO(b"\xff\r\n--x")),
            "renamed": path,
        }[given]
        rest = {"filename": "c.txt"} if given == "renamed" else {}
        made = face.run(face.client.files.create(file, purpose="vision", expires_in=3600, **rest))
    assert type(made) is FileObject
    assert (made.id, made.bytes, made.to_dict()["filename"]) == ("file-api-1", 3, "a.txt")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/files")
    name = {"bytes": "file", "named": "b.txt", "renamed": "c.txt"}.get(given, "a.txt")
    assert form(request) == {
        "purpose": (None, b"vision"),
        "expires_after[anchor]": (None, b"created_at"),
        "expires_after[seconds]": (None, b"3600"),
        "file": (name, b"\xff\r\n--x"),
    }


def test_a_name_breaks_no_form(server: RawServer) -> None:
    server.will(answer(FILE))
    with opened_face("sync-direct", server.url) as face:
        face.client.files.create(b"x", filename='a"\r\nb: c')
    assert b'filename="a%22  b: c"\r\n' in server.requests[0].body


def test_listing_looking_reading_deleting(server: RawServer, face: Face) -> None:
    server.will(
        answer({"object": "list", "data": [FILE], "has_more": True, "first_id": "f", "last_id": "l"}),
        answer(FILE),
        answer(b"\xff\0", content_type="image/png"),
        answer({"id": "file-api-1", "object": "file", "deleted": True}),
    )
    listed = face.run(face.client.files.list(purpose="vision", limit=1, order="asc"))
    assert [one.filename for one in listed] == ["a.txt"]
    assert (len(listed), listed.last_id) == (1, "l")
    assert face.run(face.client.files.retrieve("file-api-1")).purpose == "vision"
    assert face.run(face.client.files.content("file-api-1")) == b"\xff\0"
    assert face.run(face.client.files.delete("file-api-1")).deleted is True
    assert [(one.method, one.target) for one in server.requests] == [
        ("GET", "/v1/files?purpose=vision&limit=1&order=asc"),
        ("GET", "/v1/files/file-api-1"),
        ("GET", "/v1/files/file-api-1/content"),
        ("DELETE", "/v1/files/file-api-1"),
    ]


def test_an_upload_that_may_have_arrived_is_not_sent_again(server: RawServer, face: Face) -> None:
    server.will(lambda peer: peer.close())
    with pytest.raises(ApiConnectionError):
        face.run(face.client.files.create(b"x"))
    assert len(server.requests) == 1


def test_what_is_not_there_and_what_is_no_file(server: RawServer) -> None:
    server.will(answer(error_body("gone"), 404), answer({"ok": True}))
    with opened_face("sync-direct", server.url) as face:
        with pytest.raises(NotFoundError, match="gone"):
            face.client.files.content("file-api-2")
        with pytest.raises(OpenAICompatibilityError):
            face.client.files.retrieve("file-api-2")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda client: client.files.create("/nowhere/at/all"), ConfigurationError, "cannot be read"),
        (lambda client: client.files.create(io.StringIO("x")), ConfigurationError, "mode 'rb'"),
        (lambda client: client.files.create(7), ConfigurationError, "a int that gives no bytes"),
        (lambda client: client.files.create(b"x", purpos="y"), TypeError, "did you mean purpose?"),
        (lambda client: client.files.retrieve(""), TypeError, "needs an id"),
        (lambda client: client.files.delete("x", purpose="y"), TypeError, "leave it out"),
        (lambda client: client.files.list(limits=3), TypeError, "did you mean limit?"),
    ],
)
def test_arguments_that_cannot_be_sent(server: RawServer, call: Any, error: type, words: str) -> None:
    with opened_face("sync-direct", server.url) as face, pytest.raises(error) as caught:
        call(face.client)
    assert words in str(caught.value)
    assert server.requests == []
