"""The application behind the workers: a front page, metrics, and an error object for all the rest."""

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


def ask(path: str, method: str = "GET", models: tuple[str, ...] = ("deepseek-chat",)) -> Response:
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
        issuer="https://platform.test", identity=IdentityConfig(), engine=None, vault=None, clock=None
    )
    app: Any = build_app(version="1.2.3", models=list(models), metrics=metrics, plane=plane)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": None, "server": ("a", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return response


def test_the_front_page_says_what_runs_here() -> None:
    page = ask("/")
    text = page.body.decode()
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    for part in (
        "1.2.3",
        "/v1/chat/completions",
        "/v1/models",
        "/healthz",
        "/readyz",
        "/metrics",
        "deepseek-chat",
    ):
        assert part in text
    assert "DeepSeekClient" in text
    assert "script" not in text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_names_of_models_are_text_and_no_markup() -> None:
    page = ask("/", models=("<script>alert(1)</script>", 'a"b&c'))
    assert b"<script" not in page.body
    assert b"&lt;script&gt;" in page.body


def test_a_page_without_models() -> None:
    assert ask("/", models=()).status == 200


def test_metrics_are_prometheus_text() -> None:
    metrics = ask("/metrics")
    assert (metrics.status, metrics.body) == (200, b"abyssal_up 1\n")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/nothing", "GET", 404, "route_not_found"),
        ("/v1/embeddings", "POST", 404, "route_not_found"),
        ("/", "POST", 405, "method_not_allowed"),
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
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/oauth/token/", "/v1/platform/me/", "/.well-known/jwks.json/", "/metrics/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_is_sent_elsewhere(path: str, method: str) -> None:
    """A redirect would carry secrets to this private address."""
    answer = ask(path, method=method)
    assert answer.status == 404
    assert "location" not in answer.headers
