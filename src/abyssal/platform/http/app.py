"""The ASGI application behind the workers: front page, metrics, management, OAuth; errors for the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from abyssal.platform.http.management import management_routes
from abyssal.platform.http.oauth import oauth_routes
from abyssal.platform.plane import ControlPlane
from abyssal.wire.errors import ApiError, InternalServerError, NotFoundError, error_for_status

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def build_app(
    *, version: str, models: list[str], metrics: Callable[[], Awaitable[bytes]], plane: ControlPlane
) -> Starlette:
    """The application. `metrics` gives the Prometheus text of the moment."""

    page = _front_page(version, models)

    async def front(_: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": _CSP})

    async def show_metrics(_: Request) -> Response:
        return Response(await metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app = Starlette(
        routes=[
            Route("/", front),
            Route("/metrics", show_metrics),
            *oauth_routes(plane),
            *management_routes(plane),
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
    if exc.status_code == 401:
        headers["www-authenticate"] = 'Bearer realm="abyssal"'
    return Response(exc.as_json(), exc.status_code, headers, media_type="application/json")


async def _fault(_: Request, exc: Exception) -> Response:
    """Starlette raises it again after this, so that the log has it."""
    error = InternalServerError(f"The platform failed ({type(exc).__name__}).")
    return Response(error.as_json(), 500, media_type="application/json")


async def _error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 404:
        error = NotFoundError(
            f"There is no route {request.method} {request.url.path[:200]} here; GET / says what there is.",
            code="route_not_found",
        )
    else:
        error = error_for_status(exc.status_code)(
            f"{exc.detail} for {request.url.path[:200]}.", status=exc.status_code
        )
    return Response(
        error.as_json(), exc.status_code, media_type="application/json", headers=dict(exc.headers or {})
    )


def _front_page(version: str, models: list[str]) -> str:
    rows = "".join(f"<li><code>{escape(name)}</code></li>" for name in models)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Abyssal</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
         color: #12263a; background: #f7fafc }}
  h1 {{ margin-bottom: 0 }} .version {{ color: #5b7083; margin-top: 0 }}
  code, pre {{ font: 14px/1.5 ui-monospace, monospace }}
  pre {{ background: #0b1f33; color: #d8ecff; padding: 1rem; border-radius: 8px; overflow-x: auto }}
  ul {{ columns: 2; padding-left: 1.2rem }} td {{ padding: .15rem 1rem .15rem 0; vertical-align: top }}
</style></head><body>
<h1>Abyssal</h1>
<p class="version">version {escape(version)} · a DeepSeek API platform</p>
<p>This address speaks the DeepSeek API. Point any DeepSeek or OpenAI client at it:</p>
<pre>from abyssal import DeepSeekClient

client = DeepSeekClient()          # reads ABYSSAL_API_KEY, ABYSSAL_BASE_URL
answer = client.chat.completions.create(
    model="{escape(models[0]) if models else "deepseek-chat"}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)</pre>
<h2>Routes</h2>
<table>
<tr><td><code>POST /v1/chat/completions</code></td><td>chat, plain and streamed</td></tr>
<tr><td><code>GET /v1/models</code></td><td>the model table</td></tr>
<tr><td><code>GET /healthz</code>, <code>/readyz</code></td><td>alive; able to answer</td></tr>
<tr><td><code>GET /metrics</code></td><td>Prometheus</td></tr>
</table>
<h2>Models</h2>
<ul>{rows}</ul>
<h2>Documentation</h2>
<p>In the distribution: <code>README.md</code> for the first steps, <code>docs/</code> for configuration,
the engine and testing, <code>ARCHITECTURE.md</code> for how it is made.</p>
</body></html>
"""
