"""The OAuth endpoints over HTTP. What they answer is decided in `platform.oauth.server`.

Every answer to a client forbids caching (RFC 6749 §5.1); the two public documents allow it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from abyssal.platform.oauth import metadata
from abyssal.platform.oauth.errors import InvalidClientError, InvalidRequestError, OAuthError
from abyssal.platform.oauth.form import MOST_BODY, parse_form
from abyssal.platform.oauth.server import AuthorizationServer, ClientCall
from abyssal.platform.plane import ControlPlane, not_in_force

ADDRESS = "x-abyssal-address"  # set by the worker; a client's own is dropped there
_JSON = "application/json"
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
# A new key is published a day before it signs, so an hour's memory never misses one. An empty set is
# different: the first key signs at once.
_AN_HOUR = {"cache-control": "public, max-age=3600"}
_NOT_AT_ALL = {"cache-control": "no-cache"}
_CHALLENGE = 'Basic realm="abyssal", charset="UTF-8"'

Answer = Callable[[ClientCall], Awaitable[bytes]]


def oauth_routes(plane: ControlPlane) -> list[BaseRoute]:
    """`/oauth/*` and the two documents under `/.well-known/`."""
    server = AuthorizationServer(plane)
    document = msgspec.json.encode(metadata.server_metadata(plane.issuer))

    async def token(call: ClientCall) -> bytes:
        answer, fresh_key = await plane.run(lambda: server.token(call))
        if fresh_key:
            await plane.in_force()  # or the first token would be unknown to the workers for a moment
        return msgspec.json.encode(answer)

    async def revoke(call: ClientCall) -> bytes:
        if await plane.run(lambda: server.revoke(call)) and not await plane.in_force():
            raise not_in_force()
        return b""  # RFC 7009 §2.2: the body says nothing

    async def introspect(call: ClientCall) -> bytes:
        return msgspec.json.encode(await plane.run(lambda: server.introspect(call)))

    async def describe(_: Request) -> Response:
        return Response(document, media_type=_JSON, headers=_AN_HOUR)

    async def key_set(_: Request) -> Response:
        keys = await plane.run(server.key_set)
        body = msgspec.json.encode({"keys": keys})
        return Response(body, media_type=_JSON, headers=_AN_HOUR if keys else _NOT_AT_ALL)

    return [
        _client_route(plane, metadata.TOKEN, token),
        _client_route(plane, metadata.REVOKE, revoke),
        _client_route(plane, metadata.INTROSPECT, introspect),
        Route(metadata.METADATA, describe),
        Route(metadata.KEY_SET, key_set),
    ]


def _client_route(plane: ControlPlane, path: str, answer: Answer) -> Route:
    async def endpoint(request: Request) -> Response:
        address = request.headers.get(ADDRESS, "")
        try:
            body = await answer(await _read_call(request, address))
        except OAuthError as error:
            if isinstance(error, InvalidClientError) and error.reason:
                plane.failed(address=address, way="oauth", reason=error.reason, credential=error.credential)
            return _refusal(error)
        return Response(body, media_type=_JSON if body else None, headers=_NO_STORE)

    return Route(path, endpoint, methods=["POST"])


async def _read_call(request: Request, address: str) -> ClientCall:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequestError("The body must not be compressed.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            break  # too long, as `parse_form` says
    fields = parse_form(request.headers.get("content-type", ""), request.url.query, bytes(body))
    return ClientCall(fields, request.headers.getlist("authorization"), address)


def _refusal(error: OAuthError) -> Response:
    headers = dict(_NO_STORE)
    if error.status_code == 401:
        headers["www-authenticate"] = _CHALLENGE
    if error.retry_after:
        headers["retry-after"] = str(error.retry_after)
    return Response(error.as_json(), error.status_code, media_type=_JSON, headers=headers)
