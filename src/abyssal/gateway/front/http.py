"""All client connections of a worker: accepting them, sweeping their deadlines, draining them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front import heads
from abyssal.gateway.front.connection import HttpConnection
from abyssal.gateway.front.sink import NO_UPLOADS
from abyssal.gateway.front.websocket import WebSocketConnection
from abyssal.gateway.front.whole import FrontLimits, OpenSession
from abyssal.wire.addresses import Networks

NO_SOCKETS: Mapping[bytes, OpenSession] = {}


class HttpFront:
    """All client connections of a worker."""

    def __init__(
        self,
        dispatch: Callable[[Exchange], None],
        *,
        limits: FrontLimits,
        trusted: Networks,
        next_id: Callable[[], str],
        loop_time: Callable[[], float],
        unix_ns: Callable[[], int],
        sockets: Mapping[bytes, OpenSession] = NO_SOCKETS,
        uploads: frozenset[bytes] = NO_UPLOADS,
    ) -> None:
        self.dispatch = dispatch
        self.limits = limits
        self.trusted = trusted  # proxies whose X-Forwarded-For is believed
        self.next_id = next_id
        self.now = loop_time
        self.sockets = sockets  # WebSockets by path
        self.uploads = uploads  # paths whose POST bodies are passed on as they come
        self._unix_ns = unix_ns
        self.connections: set[HttpConnection | WebSocketConnection] = set()
        self.draining = False
        self.date = heads.date_line(unix_ns() / 1e9)

    def connection(self) -> HttpConnection:
        """A protocol for a new connection."""
        return HttpConnection(self)

    def sweep(self) -> None:
        """Apply deadlines and let calls tick; once a second."""
        self.date = heads.date_line(self._unix_ns() / 1e9)
        now = self.now()
        for connection in tuple(self.connections):
            connection.tick(now)

    def drain(self) -> None:
        """Close idle connections; the others close when their answer is complete."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_when_idle()

    @property
    def busy(self) -> bool:
        """Whether some client still waits for an answer, or for the rest of one."""
        return any(connection.busy for connection in self.connections)

    def abort(self) -> None:
        """Cut every connection that is left."""
        for connection in tuple(self.connections):
            connection.abort()
