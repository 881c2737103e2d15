"""The ASGI application behind the workers: metrics, management, OAuth, tenants, pages; errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from abyssal.platform.http.files import file_routes
from abyssal.platform.http.management import management_routes
from abyssal.platform.http.oauth import oauth_routes
from abyssal.platform.http.tenant import tenant_routes
from abyssal.platform.plane import ControlPlane
from abyssal.wire.challenge import challenge_of
from abyssal.wire.errors import (
    ApiError,
    InternalServerError,
    MethodNotAllowedError,
    NotFoundError,
    error_for_status,
)


def build_app(
    *, metrics: Callable[[], Awaitable[bytes]], plane: ControlPlane, pages: Sequence[BaseRoute] = ()
) -> Starlette:
    """The application. `metrics` gives the Prometheus text of the moment, `pages` are routes of others."""

    async def show_metrics(_: Request) -> Response:
        return Response(await metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app = Starlette(
        routes=[
            Route("/metrics", show_metrics),
            *pages,
            *oauth_routes(plane),
            *management_routes(plane),
            *tenant_routes(plane),
            *file_routes(plane),
        ],
        exception_handlers={HTTPException: _error, ApiError: _api_error, Exception: _fault},
    )
    app.router.redirect_slashes = False  # it would send clients, secrets and all, to this private address
    return app


async def _api_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, ApiError)
    headers: dict[str, str] = {"cache-control": "no-store"}
    if exc.retry_after is not None:
        headers["retry-after"] = str(max(1, round(exc.retry_after)))
    challenge = challenge_of(exc)
    if challenge is not None:
        headers["www-authenticate"] = challenge
    return Response(exc.as_json(), exc.status_code, headers, media_type="application/json")


async def _fault(_: Request, exc: Exception) -> Response:
    """Starlette raises it again after this, so that the log has it."""
    error = InternalServerError(f"The platform failed ({type(exc).__name__}).")
    return Response(error.as_json(), 500, media_type="application/json")


async def _error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    path, headers = request.url.path[:200], dict(exc.headers or {})
    if exc.status_code == 404:
        error = NotFoundError(
            f"There is no route {request.method} {path} here; GET / says what there is.",
            code="route_not_found",
        )
    elif "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        error = MethodNotAllowedError(f"{request.method} is not for {path}; use {headers['Allow']}.")
    else:
        error = error_for_status(exc.status_code)(f"{exc.detail} for {path}.", status=exc.status_code)
    return Response(error.as_json(), exc.status_code, media_type="application/json", headers=headers)
