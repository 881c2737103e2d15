"""What a connection needs of the front that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.wire.addresses import Networks

if TYPE_CHECKING:
    from abyssal.gateway.front.connection import HttpConnection
    from abyssal.gateway.front.websocket import Session, WebSocketConnection


class FrontLimits:
    """How patient the front is, in seconds, and how large a body or an upload may be, in bytes."""

    def __init__(
        self,
        *,
        header: float,
        body: float,
        idle: float,
        stalled_reader: float,
        max_body: int,
        max_upload: int = 0,
    ) -> None:
        self.header, self.body, self.idle = header, body, idle
        self.stalled_reader, self.max_body, self.max_upload = stalled_reader, max_body, max_upload


OpenSession = Callable[["WebSocketConnection", RequestHead], "Session"]


class Front(Protocol):
    """What a connection needs of the whole."""

    limits: FrontLimits
    connections: set[HttpConnection | WebSocketConnection]
    draining: bool
    date: bytes
    trusted: Networks
    uploads: frozenset[bytes]

    @property
    def sockets(self) -> Mapping[bytes, OpenSession]:
        """The WebSockets there are, by path."""
        ...

    @property
    def dispatch(self) -> Callable[[Exchange], None]: ...
    @property
    def next_id(self) -> Callable[[], str]: ...
    @property
    def now(self) -> Callable[[], float]: ...
