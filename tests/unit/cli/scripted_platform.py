"""A platform that answers management routes as a test says, over real HTTP on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from abyssal.cli.management import Object
from abyssal.wire.errors import ApiError, NotFoundError


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str


Scripted = Object | ApiError | Callable[[Asked], Any]


class ScriptedPlatform:
    """`answers` are by method and path below `/v1/platform`; what is not there is a 404. `asked`: what came."""

    def __init__(self, answers: Mapping[str, Scripted]) -> None:
        self.answers = dict(answers)
        self.asked: list[Asked] = []
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, asked: Asked) -> Any:
        self.asked.append(asked)
        answer = self.answers.get(f"{asked.method} {asked.path}", NotFoundError("There is no such object."))
        return answer(asked) if callable(answer) else answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                target = urlsplit(self.path)
                assert target.path.startswith("/v1/platform/"), target.path
                asked = Asked(
                    self.command,
                    target.path.removeprefix("/v1/platform"),
                    dict(parse_qsl(target.query)),
                    json.loads(body) if body else None,
                    self.headers["authorization"],
                )
                answer = platform._answer(asked)
                status = answer.status_code if isinstance(answer, ApiError) else 200
                content = answer.as_json() if isinstance(answer, ApiError) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = respond

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler


def page(*objects: Object, after: str | None = None) -> Object:
    """A list's answer; `after` is the cursor of the next page."""
    return {"object": "list", "data": list(objects), "has_more": after is not None, "next": after}


def credential(number: int, name: str, **fields: Any) -> Object:
    """A key as the routes show it."""
    return {
        "id": f"key_{number:020x}",
        "object": "api_key",
        "name": name,
        "project": "proj_" + "0" * 20,
        "organization": "org_" + "0" * 20,
        "user": None,
        "scopes": ["chat"],
        "models": None,
        "networks": None,
        "hint": f"{number:04}",
        "created_at": "2026-11-20T10:00:00Z",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "secrets": [{"id": "sec_1", "hint": f"{number:04}", "created_at": "2026-11-20T10:00:00Z", "expires_at": None}],
        **fields,
    }  # fmt: skip
