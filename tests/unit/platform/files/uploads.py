"""Uploads as clients send them, and the routes of files to put them to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.unit.platform.identity.tenants import Answer, World, key_of

from abyssal.platform.http.files import file_routes

BOUNDARY = "bound-7"
THEIRS = "key_e7"  # the other tenant's API key


def form(*parts: tuple[str, bytes], boundary: str = BOUNDARY) -> bytes:
    """A form of parts, each what stands behind `form-data; ` in its disposition, and its content."""
    out = [
        b"--%b\r\ncontent-disposition: form-data; %b\r\n\r\n%b\r\n"
        % (boundary.encode(), head.encode(), content)
        for head, content in parts
    ]
    return b"".join(out) + b"--%b--\r\n" % boundary.encode()


def upload_form(content: bytes, name: str = "notes.txt", **fields: str) -> bytes:
    """What the SDKs send: the fields, then the file."""
    parts = [(f'name="{field}"', value.encode()) for field, value in fields.items()]
    return form(*parts, (f'name="file"; filename="{name}"', content))


class Call:
    """One request as a server puts it: the body in pieces, then silence, or word that the client has left."""

    def __init__(self, pieces: Sequence[bytes], *, leaves: bool) -> None:
        self.pieces, self.leaves = list(pieces), leaves
        self.answer = Answer()

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.leaves}
        if not self.leaves:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.answer.status, self.answer.headers = message["status"], list(message["headers"])
        else:
            self.answer.body += message.get("body", b"")


class Files:
    """The routes, asked by key."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.unread = 0  # pieces of the last body that nobody read

    def ask(
        self,
        method: str,
        path: str = "",
        *,
        who: str = "service",
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        scopes: str = "files",
        size: int = 0,
        leaves: bool = False,
        root: str = "/v1/files",
    ) -> Answer:
        """One request. `size`: the body comes in pieces of as many bytes; `leaves`: and the last never does."""
        key = who if who.startswith("key_") or not who else key_of(who)
        sent = {"x-abyssal-credential": key, "x-abyssal-scopes": scopes} if who else {}
        sent |= dict(headers or {})
        app = self.world.application(file_routes(self.world.plane()))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] if size and body else [body]
        call = Call(pieces[:-1] if leaves else pieces, leaves=leaves)
        lines = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": root + path, "raw_path": b"", "query_string": urlencode(query or {}).encode(),
            "root_path": "", "headers": lines, "client": None, "server": ("a", 80),
        }  # fmt: skip
        asyncio.run(app(scope, call.receive, call.send))
        self.unread = len(call.pieces)
        return call.answer

    def upload(
        self, content: bytes, name: str = "notes.txt", *, who: str = "service", **fields: Any
    ) -> Answer:
        return self.post(upload_form(content, name, **fields), who=who)

    def post(self, body: bytes, *, who: str = "service", boundary: str = BOUNDARY, **options: Any) -> Answer:
        kind = f"multipart/form-data; boundary={boundary}"
        headers = {"content-type": kind, "content-length": str(len(body)), **options.pop("headers", {})}
        return self.ask("POST", who=who, body=body, headers=headers, **options)

    def stored(self, content: bytes = b"hello", name: str = "notes.txt", **options: Any) -> Any:
        """A file that is there now, as the route shows it."""
        answer = self.upload(content, name, **options)
        assert answer.status == 200, answer.body
        return answer.json

    @property
    def on_disk(self) -> Sequence[Path]:
        """Every file below the directory."""
        root = self.world.folder / "files"
        return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []


def headers_of(answer: Answer) -> Iterator[tuple[str, str]]:
    for name, value in answer.headers:
        yield name.decode(), value.decode()
