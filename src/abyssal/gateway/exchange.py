"""The object that travels: one call, from its request's last byte to its settlement.

It knows what each stage found out. It does not know how bytes move: `Client` is the side that asked,
`Call` the side that answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from abyssal.stores.snapshot import KeyRecord
    from abyssal.wire.chat_request import ChatRequest
    from abyssal.wire.usage import TokenUsage


class Client(Protocol):
    """The connection that a call came in on. `headers` are whole lines, each ended by CRLF."""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a whole answer."""
        ...

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """Send a head; `length` is the body's bytes, None when only its end will tell."""
        ...

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        ...

    def finish(self) -> None:
        """End the body that `begin` announced."""
        ...

    def abort(self) -> None:
        """Cut the connection: the body cannot be completed."""
        ...


class Call(Protocol):
    """An upstream at work on an exchange."""

    def cancel(self) -> None:
        """The client has left: stop the upstream and settle."""
        ...

    def pause(self) -> None:
        """The client reads too slowly: stop reading from the upstream."""
        ...

    def resume(self) -> None:
        """The client caught up."""
        ...

    def tick(self, now: float) -> None:
        """A second or so passed; `now` is loop time. Time-outs and keep-alive comments happen here."""
        ...


class Exchange:
    """One call. Fields are filled in stage by stage; those of a later stage hold their defaults."""

    __slots__ = (
        "admitted",
        "authorization",
        "body",
        "call",
        "client",
        "code",
        "content_encoding",
        "first_byte_at",
        "forwarded",
        "id",
        "key",
        "method",
        "path",
        "query",
        "relayed_events",
        "request",
        "started_at",
        "status",
        "upstream_model",
        "upstream_name",
        "usage",
        "x_api_key",
    )

    def __init__(self, exchange_id: str, client: Client, method: bytes, started_at: float) -> None:
        self.id = exchange_id
        self.client = client
        self.method = method
        self.path = b""
        self.query = b""
        self.body = b""
        self.authorization: bytes | None = None
        self.x_api_key: bytes | None = None
        self.content_encoding: bytes | None = None
        self.forwarded = b""  # header lines that may travel on to an upstream
        self.started_at = started_at  # loop time, seconds
        # authenticate
        self.key: KeyRecord | None = None
        self.request: ChatRequest | None = None
        # admit
        self.admitted = False
        # route
        self.upstream_model = ""
        self.upstream_name = ""
        # relay
        self.call: Call | None = None
        self.first_byte_at = 0.0
        self.relayed_events = 0
        # settle
        self.usage: TokenUsage | None = None
        self.status = 0
        self.code = ""

    def alike(self, exchange_id: str, client: Client) -> Exchange:
        """A new exchange with the same head and nothing else of this one."""
        other = Exchange(exchange_id, client, self.method, 0.0)
        other.path, other.query = self.path, self.query
        other.authorization, other.x_api_key = self.authorization, self.x_api_key
        other.content_encoding = self.content_encoding
        other.forwarded = self.forwarded
        return other
