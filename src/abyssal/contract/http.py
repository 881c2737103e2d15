"""The contract over HTTP: the OpenAPI document, the pages made from it, the front page.

What is shown is made when it is first asked for, on a thread: importing the types of every format takes a
third of a second, which neither the start nor anybody else waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from abyssal.wire.errors import NotFoundError

_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HTML = "text/html; charset=utf-8"
_MEDIA = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Shown(NamedTuple):
    """What is sent, and its entity tag."""

    content: bytes
    tag: str


def contract_routes(*, models: Sequence[str]) -> list[BaseRoute]:
    """The routes; `models` are the names that the front page lists. They raise NotFoundError."""
    kept: dict[str, Shown] = {}

    async def show(request: Request, make: Callable[[], bytes], media: str) -> Response:
        shown = kept.get(request.url.path)
        if shown is None:
            content = await run_in_threadpool(make)
            shown = kept[request.url.path] = Shown(
                content, f'"{blake2b(content, digest_size=12).hexdigest()}"'
            )
        headers = {"etag": shown.tag, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
        if media == _HTML:
            headers |= {"content-security-policy": _CSP, "referrer-policy": "no-referrer"}
        if shown.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(shown.content, media_type=media, headers=headers)

    async def document(request: Request) -> Response:
        return await show(request, _document, "application/json")

    async def front(request: Request) -> Response:
        return await show(request, lambda: _page("front", models), _HTML)

    async def overview(request: Request) -> Response:
        return await show(request, lambda: _page("overview", models), _HTML)

    async def page(request: Request) -> Response:
        return await show(request, lambda: _family(str(request.path_params["page"]), models), _HTML)

    async def static(request: Request) -> Response:
        name = str(request.path_params["file"])
        media = _MEDIA.get(name.rpartition(".")[2], "application/octet-stream")
        return await show(request, lambda: _file(name), media)

    return [
        Route("/", front),
        Route("/openapi.json", document),
        Route("/docs", overview),
        Route("/docs/static/{file}", static),
        Route("/docs/{page}", page),
    ]


def _document() -> bytes:
    from abyssal.contract.document import document_bytes

    return document_bytes()


def _page(name: str, models: Sequence[str]) -> bytes:
    from abyssal.contract.pages import render

    return render(name, models)


def _family(name: str, models: Sequence[str]) -> bytes:
    from abyssal.contract.pages import FAMILIES

    if name not in FAMILIES:
        raise NotFoundError(f'There is no page "{name[:100]}"; GET /docs lists those that there are.')
    return _page(name, models)


def _file(name: str) -> bytes:
    from abyssal.contract.pages import static_file

    return static_file(name)
