"""The application behind the workers: metrics, and an error object for all the rest."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from abyssal.config import IdentityConfig
from abyssal.platform.http.app import build_app


class Response:
    """An answer of an ASGI application."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""


def ask(path: str, method: str = "GET") -> Response:
    """One request, put to the application as a server puts it."""
    response = Response()

    async def metrics() -> bytes:
        return b"abyssal_up 1\n"

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            response.body += message.get("body", b"")

    plane: Any = SimpleNamespace(
        issuer="https://platform.test",
        identity=IdentityConfig(),
        engine=None,
        vault=None,
        clock=None,
        uses=None,
    )
    app: Any = build_app(metrics=metrics, plane=plane)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": None, "server": ("a", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return response


def test_metrics_are_prometheus_text() -> None:
    metrics = ask("/metrics")
    assert (metrics.status, metrics.body) == (200, b"abyssal_up 1\n")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/nothing", "GET", 404, "route_not_found"),
        ("/v1/embeddings", "POST", 404, "route_not_found"),
        ("/oauth/token", "GET", 405, "method_not_allowed"),
        ("/metrics", "DELETE", 405, "method_not_allowed"),
        ("/" + "x" * 5000, "GET", 404, "route_not_found"),
    ],
)
def test_everything_else_is_an_error_object(path: str, method: str, status: int, code: str) -> None:
    answer = ask(path, method)
    error = msgspec.json.decode(answer.body)["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert len(error["message"]) < 400
    if status == 405:
        assert answer.headers["allow"] in ("GET, HEAD", "POST")
        assert error["message"].endswith(f"use {answer.headers['allow']}.")


@pytest.mark.parametrize(
    "path", ["/oauth/token/", "/v1/platform/me/", "/.well-known/jwks.json/", "/metrics/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_is_sent_elsewhere(path: str, method: str) -> None:
    """A redirect would carry secrets to this private address."""
    answer = ask(path, method=method)
    assert answer.status == 404
    assert "location" not in answer.headers
