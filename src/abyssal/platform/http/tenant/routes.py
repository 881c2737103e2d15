"""The table of a tenant's endpoints as ASGI routes.

1. Nothing that a client sends is looked at before the caller is known and has the route's scope.
2. The rest is one transaction: an idempotency key, the endpoint, its answer kept.
3. `?format=jsonl`, where a route has an export, is answered line by line, as the lines are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from abyssal.platform.http.once import answer_once
from abyssal.platform.http.reading import (
    read_bytes,
    read_proof,
    read_query,
)
from abyssal.platform.http.tenant.endpoints import TENANT_ENDPOINTS, TenantEndpoint
from abyssal.platform.identity.idempotency import Answer
from abyssal.platform.plane import ControlPlane
from abyssal.platform.tenant import tenant_transaction
from abyssal.wire.errors import AuthenticationError, BadRequestError

_HEADERS = {"cache-control": "no-store"}


def tenant_routes(
    plane: ControlPlane, endpoints: Iterable[TenantEndpoint] = TENANT_ENDPOINTS
) -> list[BaseRoute]:
    """The routes. They raise ApiError for what is to be answered with an error object."""
    of_path: defaultdict[str, dict[str, TenantEndpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        of_path[endpoint.path][endpoint.method] = endpoint
    return [_route(plane, path, of_method) for path, of_method in of_path.items()]


def _route(plane: ControlPlane, path: str, of_method: dict[str, TenantEndpoint]) -> Route:
    async def answer(request: Request) -> Response:
        endpoint = of_method["GET" if request.method == "HEAD" else request.method]
        proof = read_proof(request.headers)
        if proof is None:  # a path that the workers do not know
            raise AuthenticationError("This route needs credentials; send a key.", code="missing_api_key")
        body = await read_bytes(request)
        if endpoint.export is not None and "format" in request.query_params:
            query = _export_query(read_query(request.query_params, endpoint.query))
            lines = endpoint.export(plane, proof, query)
            first = await anext(lines, b"")  # what is wrong is raised here, while it can be an answer
            return StreamingResponse(_all(first, lines), 200, _HEADERS, media_type="application/jsonl")
        done = await plane.run(lambda: _perform(plane, endpoint, request, body))
        return Response(done.body, done.status, _HEADERS, media_type="application/json")

    return Route(path, answer, methods=list(of_method))


def _perform(plane: ControlPlane, endpoint: TenantEndpoint, request: Request, body: bytes) -> Answer:
    """On the thread that SQL belongs to."""
    proof = read_proof(request.headers)
    with tenant_transaction(plane, proof, endpoint.scope, changes=endpoint.changes) as turn:
        return answer_once(turn, endpoint, request, body, lambda asked: endpoint.handle(turn, asked))


def _export_query(query: Mapping[str, str]) -> Mapping[str, str]:
    """The query without its format. Raises BadRequestError for one that there is not, and for a page."""
    if query["format"] != "jsonl":
        raise BadRequestError('"format": there is "jsonl".', param="format", code="invalid_value")
    for name in ("limit", "after"):
        if name in query:
            raise BadRequestError(
                f'"{name}": an export has no pages; leave it out.', param=name, code="invalid_value"
            )
    return query


async def _all(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for line in lines:
        yield line
