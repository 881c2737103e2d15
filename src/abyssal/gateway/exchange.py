"""The object that travels: one call, from its request's last byte to its settlement.

It knows what each stage found out. It does not know how bytes move: `Client` is the side that asked,
`Call` the side that answers. What the request's head said is a `RequestHead`, which all requests of a
connection share whose heads are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from abyssal.gateway.principal import Credential, Principal
    from abyssal.wire.errors import ApiError
    from abyssal.wire.forms import Forms
    from abyssal.wire.usage import TokenUsage


class Client(Protocol):
    """The connection that a call came in on. `headers` are whole lines, each ended by CRLF."""

    @property
    def scheme(self) -> bytes:
        """`http` or `https`, as this server sees it."""
        ...

    def address_of(self, head: RequestHead) -> str:
        """The IP address of who asks: the peer's, or what a trusted proxy says; "" on a Unix socket."""
        ...

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


class UploadSink(Protocol):
    """Who takes a body while it comes."""

    def on_piece(self, data: bytes) -> None: ...
    def on_whole(self) -> None: ...


class Upload(Protocol):
    """A body that is still coming. `length` is its bytes, None when only its end will tell."""

    length: int | None
    answered: bool  # set when the answer begins: the rest is not wanted

    def take(self, sink: UploadSink) -> None:
        """Give what has come to `sink`, and from now on what comes."""
        ...

    def press(self, pressed: bool) -> None:
        """Whether the client is to wait: too much of the body is on the way."""
        ...


UpstreamRoute = Literal["chat", "beta chat", "completions", "embeddings"]
"""What an upstream is asked for; one that has no route of its own for "beta chat" takes it as a chat."""


class Request(Protocol):
    """What every call says, whatever it asks for; that of a chat is a `wire.chat_request.ChatRequest`."""

    @property
    def model(self) -> str: ...

    @property
    def stream(self) -> bool | None: ...


class Native(NamedTuple):
    """A call in the format in which it was made, for an upstream that knows that format itself.

    `body` is as the client sent it, `client` takes the answer as the upstream gives it. `only` names the
    parameter that no chat request can say, "" where the call can be made as a chat too.
    """

    route: UpstreamRoute
    body: bytes
    client: Client
    only: str


class StreamFilter(Protocol):
    """Repairs a stream: whole events in, whole events out."""

    def feed(self, events: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class Review(Protocol):
    """Judges an answer before the client gets any of it; `name` is the repair that a second attempt is."""

    @property
    def name(self) -> str: ...

    @property
    def hopeless(self) -> bool:
        """Whether another attempt would change nothing."""
        ...

    def accepts(self, body: bytes) -> bool:
        """Whether a whole answer will do."""
        ...

    def seen_enough(self, events: bytes) -> bool:
        """More of a stream came, which is held back: whether it will do, whatever follows."""
        ...

    def accepts_end(self) -> bool:
        """The stream is over: whether it will do."""
        ...

    def refusal(self) -> ApiError | None:
        """What the client is told where the last attempt will not do either; None: what the answer said."""
        ...


class Mending(Protocol):
    """What is repaired of a call's answer (`repairs.mending`)."""

    def answer(self, exchange: Exchange, body: bytes) -> bytes:
        """A whole answer to `exchange`, JSON."""
        ...

    def stream_filter(self, exchange: Exchange, first: StreamFilter | None) -> StreamFilter | None:
        """What repairs a stream, behind `first`."""
        ...

    @property
    def reviewed(self) -> bool:
        """Whether the answer is judged before the client gets any of it."""
        ...

    def review(self) -> Review:
        """What judges one attempt at an answer that is `reviewed`."""
        ...


class RequestHead:
    """What a head said. Made while it is read; unchanged from then on, but for `proven`.

    `proof` holds the fields of signed requests by lower-case name, `asks` those that begin with `x-abyssal-`
    (what is wanted of the platform; none of them travels on). `proven` is whom the credential in this
    head belongs to, noted by the stage *authenticate* to save it the next look-up. `upstream_lines` are what
    an upstream gets of `forwarded`, noted likewise.
    """

    __slots__ = (
        "accept",
        "accept_encoding",
        "asks",
        "authorization",
        "content_encoding",
        "content_type",
        "forms",
        "forwarded",
        "forwarded_for",
        "host",
        "last_event_id",
        "method",
        "path",
        "proof",
        "proven",
        "proven_until",
        "query",
        "target",
        "upstream_lines",
        "x_api_key",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""  # as sent
        self.path = b""
        self.query = b""
        self.host = b""
        self.authorization: bytes | None = None
        self.x_api_key: bytes | None = None
        self.content_encoding: bytes | None = None
        self.content_type: bytes | None = None
        self.accept: bytes | None = None
        self.accept_encoding: bytes | None = None
        self.forms: Forms | None = None  # None when body and answer are plain JSON
        self.last_event_id: bytes | None = None
        self.asks: dict[bytes, bytes] | None = None
        self.proof: dict[bytes, bytes] | None = None
        self.forwarded_for: bytes | None = None
        self.forwarded = b""  # header lines that may travel on
        self.upstream_lines: bytes | None = None
        self.proven: Credential | None = None
        self.proven_until = 0.0  # monotonic seconds

    def with_authorization(self, value: bytes) -> RequestHead:
        """The same head with another Authorization field."""
        other = self._alike()
        other.authorization = value
        return other

    def with_forwarded(self, lines: bytes) -> RequestHead:
        """The same head with other `lines` that travel on."""
        other = self._alike()
        other.forwarded, other.upstream_lines = lines, None
        return other

    def _alike(self) -> RequestHead:
        other = RequestHead()
        other.method, other.target, other.path, other.query = self.method, self.target, self.path, self.query
        other.host, other.authorization, other.x_api_key = self.host, self.authorization, self.x_api_key
        other.content_encoding, other.proof = self.content_encoding, self.proof
        other.content_type, other.accept = self.content_type, self.accept
        other.accept_encoding, other.last_event_id = self.accept_encoding, self.last_event_id
        other.forms, other.asks = self.forms, self.asks
        other.forwarded_for, other.forwarded = self.forwarded_for, self.forwarded
        other.upstream_lines = self.upstream_lines
        return other


class Exchange:
    """One call. Fields are filled in stage by stage; those of a later stage hold their defaults."""

    __slots__ = (
        "admitted",
        "body",
        "call",
        "client",
        "code",
        "first_byte_at",
        "forms",
        "head",
        "id",
        "mending",
        "native",
        "principal",
        "relayed_events",
        "repairs",
        "request",
        "route",
        "scope",
        "started_at",
        "status",
        "upstream_model",
        "upstream_name",
        "usage",
    )

    def __init__(self, exchange_id: str, client: Client, head: RequestHead) -> None:
        self.id = exchange_id
        self.client = client
        self.head = head
        self.body = b""
        self.forms: Forms | None = None  # what the body is still in, until it is opened
        self.started_at = 0.0  # loop time, seconds
        # authenticate
        self.principal: Principal | None = None
        # permit
        self.scope = 0  # the bit of `stores.rights` that the route needs
        self.request: Request | None = None
        self.native: Native | None = None
        # admit
        self.admitted = False
        # route
        self.route: UpstreamRoute = "chat"
        self.upstream_model = ""
        self.upstream_name = ""
        # mend
        self.repairs: tuple[str, ...] = ()  # what was repaired, as `x-abyssal-repairs` names it
        self.mending: Mending | None = None
        # relay
        self.call: Call | None = None
        self.first_byte_at = 0.0
        self.relayed_events = 0
        # settle
        self.usage: TokenUsage | None = None
        self.status = 0
        self.code = ""

    def attempt(self, client: Client) -> Exchange:
        """Another exchange that puts the same request to the same upstream, and answers `client`."""
        other = Exchange(self.id, client, self.head)
        other.body, other.started_at, other.principal = self.body, self.started_at, self.principal
        other.request, other.route, other.scope = self.request, self.route, self.scope
        other.upstream_model, other.upstream_name = self.upstream_model, self.upstream_name
        other.repairs, other.mending = self.repairs, self.mending
        return other


class UploadExchange(Exchange):
    """A call whose body is passed on while it comes; `body` stays empty."""

    __slots__ = ("upload",)

    upload: Upload
