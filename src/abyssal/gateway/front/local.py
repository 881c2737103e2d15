"""Routes that a worker answers by itself, from memory: health, readiness, models."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from urllib.parse import unquote

import msgspec

from abyssal.gateway.exchange import Exchange
from abyssal.wire.errors import MethodNotAllowedError, NotFoundError

_JSON = b"content-type: application/json\r\n"


class Readiness(msgspec.Struct):
    """The body of `/readyz`: `upstreams` says of each whether it can be used now."""

    status: str
    upstreams: dict[str, str]


class LocalRoutes:
    """See the module. `readiness` tells the truth of the moment."""

    def __init__(
        self,
        *,
        readiness: Callable[[], Readiness],
        listing: bytes,
    ) -> None:
        self._readiness = readiness
        self._listing = listing
        models = msgspec.json.decode(listing)["data"]
        self._schema = b""
        self._models: dict[str, bytes] = {model["id"]: msgspec.json.encode(model) for model in models}

    def healthz(self, exchange: Exchange) -> None:
        """`GET /healthz`: the loop turns."""
        exchange.client.answer(200, _JSON, b'{"status":"ok"}')

    def readyz(self, exchange: Exchange) -> None:
        """`GET /readyz`: 200 when a call would be taken and some upstream can answer it, else 503."""
        state = self._readiness()
        exchange.client.answer(200 if state.status == "ready" else 503, _JSON, msgspec.json.encode(state))

    def schema(self, exchange: Exchange) -> None:
        """`GET /v1/schema.proto`: the messages of `abyssal.wire.protobuf`, read when first asked for."""
        if not self._schema:
            self._schema = files("abyssal.wire").joinpath("protobuf", "abyssal_v1.proto").read_bytes()
        exchange.client.answer(200, b"content-type: text/plain; charset=utf-8\r\n", self._schema)

    def models(self, exchange: Exchange) -> None:
        """`GET /v1/models`, `GET /models`: those that the caller may use."""
        principal = exchange.principal
        assert principal is not None
        listing = self._listing
        if not principal.may_use_all:
            mine = [msgspec.Raw(model) for name, model in self._models.items() if principal.may_use(name)]
            listing = msgspec.json.encode({"object": "list", "data": mine})
        exchange.client.answer(200, _JSON, listing)

    def model(self, exchange: Exchange) -> None:
        """`GET /v1/models/NAME`; the name may be percent-encoded (`org%2Fmodel`)."""
        principal = exchange.principal
        assert principal is not None
        name = unquote(exchange.head.path.partition(b"models/")[2].decode("latin-1"))
        found = self._models.get(name)
        if found is None or not principal.may_use(name):
            raise NotFoundError(f'There is no model "{name[:100]}" here.', code="model_not_found")
        exchange.client.answer(200, _JSON, found)


def method_not_allowed(exchange: Exchange, allowed: bytes) -> None:
    """Answer 405 with `Allow` (RFC 9110 §15.5.6)."""
    error = MethodNotAllowedError(
        f"{exchange.head.method.decode()} is not for this path; use {allowed.decode()}."
    )
    exchange.client.answer(405, _JSON + b"allow: " + allowed + b"\r\n", error.as_json())
