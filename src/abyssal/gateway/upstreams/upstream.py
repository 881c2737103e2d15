"""One upstream as the data plane sees it: how a request is put to it and what of its stream is repaired.

Its protocol is an upstream kind (a file each in this folder); a server's peculiarities are its `Profile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

import msgspec

from abyssal.config import Repairs
from abyssal.gateway.exchange import Exchange, Native, StreamFilter, UpstreamRoute
from abyssal.gateway.repairs.switches import Repair, switched
from abyssal.gateway.repairs.usage import stream_usage
from abyssal.gateway.upstreams.pool import Address, ConnectionPool
from abyssal.gateway.upstreams.retry_budget import RetryBudget
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import replace_string, with_fields
from abyssal.wire.official_stream import UsageFolder

NO_ROUTES: Mapping[UpstreamRoute, str] = {}
_USAGE_OPTION = b',"stream_options":{"include_usage":true}}'


class _Asked(msgspec.Struct):
    stream_options: dict[str, msgspec.Raw] | None = None


_asked = msgspec.json.Decoder(_Asked)
_NOT_TOLD = (b"content-type:", b"origin:", b"referer:", b"sec-")


class Profile(msgspec.Struct, frozen=True):
    """What must be known of a server beyond its protocol."""

    asks_usage: bool = False  # streams report usage only when `include_usage` is set
    usage_chunk: bool = False  # ... and then in a chunk of its own, after the finishing one
    ignored: frozenset[str] = frozenset()  # parameters that it takes in silence and without effect
    ignored_thinking: frozenset[str] = frozenset()  # ... that are without effect while it thinks
    ignores_unknown: bool = False  # so is whatever `ChatRequest` does not know
    strict_routes: frozenset[UpstreamRoute] = frozenset()  # where it holds to strict tools itself
    takes_files: bool = False  # it reads `file` parts that have bytes in them
    repairs: frozenset[Repair] = frozenset()  # that are switched on, see `abyssal.gateway.repairs`

    def with_repairs(self, chosen: Repairs) -> Profile:
        """The same with what a configuration switches."""
        return msgspec.structs.replace(self, repairs=switched(self.repairs, chosen))


class Upstream:
    """Built once per configured upstream.

    `capacity` bounds calls at once, None when it has no bound here. `routes` are the paths of what it can be
    asked beside a chat.
    """

    profile = Profile()
    context = 0  # tokens that a call may have, prompt and answer; 0: unknown

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        base_path: str,
        credential: str | None,
        first_byte_timeout: float,
        idle_timeout: float,
        connect_timeout: float = 5.0,
        capacity: int | None = None,
        routes: Mapping[UpstreamRoute, str] = NO_ROUTES,
    ) -> None:
        self.name = name
        self.pool = ConnectionPool(address, connect_timeout=connect_timeout)
        self.first_byte_timeout = first_byte_timeout
        self.idle_timeout = idle_timeout
        self.capacity = capacity
        self.in_flight = 0
        self.retries = RetryBudget()
        self.available = True
        self.embeddings: Upstream | None = self if "embeddings" in routes else None  # who is asked for them
        host = address.host if ":" not in address.host else f"[{address.host}]"
        if address.port not in (0, 443 if address.tls else 80):
            host += f":{address.port}"
        lines = f" HTTP/1.1\r\nhost: {host or 'localhost'}\r\n"
        if credential:
            lines += f"authorization: Bearer {credential}\r\n"
        paths = {"chat": f"{base_path}/chat/completions", **routes}
        self._heads = {route: f"POST {path}{lines}".encode("latin-1") for route, path in paths.items()}
        self._chat_head = self._heads["chat"]

    @property
    def pools(self) -> tuple[ConnectionPool, ...]:
        """All connections that are kept for it."""
        if self.embeddings is None or self.embeddings is self:
            return (self.pool,)
        return (self.pool, self.embeddings.pool)

    def choose_form(self, exchange: Exchange, native: Native) -> None:
        """Ask in the client's own format where this upstream knows it, else as a chat: then `native` goes.

        Raises BadRequestError when the call cannot be made as a chat.
        """
        if self.knows(native):
            exchange.route, exchange.body = native.route, native.body
            return
        exchange.native = None
        if native.only:
            model = exchange.request.model if exchange.request is not None else ""
            raise BadRequestError(
                f'The model "{model}" is asked by chat here, which has no "{native.only}"; leave it out, or '
                "ask a model whose upstream takes it.",
                param=native.only,
                code="unsupported_content",
            )

    def knows(self, native: Native) -> bool:
        """Whether `native` can be put to this upstream as it is."""
        return native.route in self._heads

    def check(self, exchange: Exchange) -> None:
        """Raise BadRequestError for what this upstream must not be asked; most take anything."""

    def chat_request(self, exchange: Exchange) -> bytes:
        """The whole HTTP request for `exchange`."""
        body = self.chat_body(exchange)
        lines = exchange.head.upstream_lines
        if lines is None:
            lines = exchange.head.upstream_lines = upstream_lines(exchange.head.forwarded)
        request_id = exchange.id.encode()
        return b"%bx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            self._heads.get(exchange.route, self._chat_head),
            request_id,
            lines,
            len(body),
            body,
        )

    def chat_body(self, exchange: Exchange) -> bytes:
        """The client's body, changed only where it must be."""
        body, request = exchange.body, exchange.request
        assert request is not None
        if exchange.upstream_model and exchange.upstream_model != request.model:
            body = replace_string(body, "model", exchange.upstream_model)
        if request.stream and self.profile.asks_usage:
            assert isinstance(request, ChatRequest)
            options = request.stream_options
            if options is None and body.find(b'"stream_options"') < 0 and body.find(b"\\u00") < 0:
                body = body.rstrip()[:-1] + _USAGE_OPTION
            elif options is None or not options.include_usage:
                asked = _asked.decode(body).stream_options or {}
                body = with_fields(body, stream_options={**asked, "include_usage": True})
        return body

    def stream_filter(self, exchange: Exchange) -> StreamFilter | None:
        """What makes this upstream's streams official; None when they are."""
        profile = self.profile
        if not profile.usage_chunk:
            return None
        return UsageFolder(
            partial(stream_usage, exchange) if "usage" in profile.repairs else None,
            renames="reasoning_field" in profile.repairs,
        )

    def repair_answer(self, exchange: Exchange, body: bytes) -> bytes:
        """A whole answer, made official."""
        return body

    def repair_error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """An answer that is an error, as (status, body), repaired."""
        return status, body


def upstream_lines(forwarded: bytes) -> bytes:
    """What of the client's header lines an upstream gets: the body is JSON whatever the client called it, and
    which page of a browser asks is none of its business."""
    lines = [line + b"\r\n" for line in forwarded.split(b"\r\n") if line and not line.startswith(_NOT_TOLD)]
    return b"content-type: application/json\r\n" + b"".join(lines)


def address_of(base_url: str, *, ca_file: str = "") -> tuple[Address, str]:
    """The address and base path of an http(s) URL."""
    parts = urlsplit(base_url)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    return Address(parts.hostname or "", port, tls, ca_file=ca_file), parts.path.rstrip("/")
