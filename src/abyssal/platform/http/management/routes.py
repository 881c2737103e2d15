"""The table of endpoints as ASGI routes.

1. Nothing that a client sends is looked at before the caller is known and has the scope `admin`.
2. The rest is one transaction: an idempotency key, the endpoint, its answer kept.
3. An answer to a change is sent when the change is in force in every worker of this node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from abyssal.platform.http.management.endpoints import ENDPOINTS, ROOT, Endpoint
from abyssal.platform.http.once import answer_once
from abyssal.platform.http.reading import (
    read_bytes,
    read_proof,
)
from abyssal.platform.identity.idempotency import Answer
from abyssal.platform.identity.transaction import transaction
from abyssal.platform.plane import ControlPlane, not_in_force
from abyssal.wire.errors import AuthenticationError


def management_routes(plane: ControlPlane, endpoints: Iterable[Endpoint] = ENDPOINTS) -> list[BaseRoute]:
    """The routes. They raise ApiError for what is to be answered with an error object."""
    of_path: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        of_path[endpoint.path][endpoint.method] = endpoint
    return [_route(plane, path, of_method) for path, of_method in of_path.items()]


def _route(plane: ControlPlane, path: str, of_method: dict[str, Endpoint]) -> Route:
    async def answer(request: Request) -> Response:
        endpoint = of_method["GET" if request.method == "HEAD" else request.method]
        if not plane.local and read_proof(request.headers) is None:  # a path that the workers do not know
            raise AuthenticationError("Management needs credentials; send a key with the scope admin.")
        body = await read_bytes(request)
        done = await plane.run(lambda: _perform(plane, endpoint, request, body))
        if endpoint.changes and not await plane.in_force() and not endpoint.repeatable:
            raise not_in_force()  # what was made has an answer that is shown once
        headers = {"cache-control": "no-store"}  # some answers are shown once
        return Response(done.body, done.status, headers, media_type="application/json")

    return Route(ROOT + path, answer, methods=list(of_method))


def _perform(plane: ControlPlane, endpoint: Endpoint, request: Request, body: bytes) -> Answer:
    """On the thread that SQL belongs to."""
    proof = read_proof(request.headers)
    with transaction(plane, proof, endpoint.permission, changes=endpoint.changes) as turn:
        return answer_once(turn, endpoint, request, body, lambda asked: endpoint.handle(turn, asked))
