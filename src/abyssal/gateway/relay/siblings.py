"""The other workers of the node: what one of them has is asked of it on its private socket.

1. Who asks was found out here; the sibling believes it, since nobody else can reach that socket.
2. Its answer passes in whole events, so that what this worker says in between, such as a ping, never falls
   into one.
3. A sibling that does not have it, or is not there, is the same to the client: `missing` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from abyssal.gateway.exchange import Client, Exchange
from abyssal.gateway.relay import heads
from abyssal.gateway.upstreams.connection import Headers, UpstreamConnection, UpstreamFaultError
from abyssal.gateway.upstreams.pool import Address, ConnectionPool


class Wanted(NamedTuple):
    """What is asked for. `whole` tells how many bytes at the start of an answer are whole events."""

    route: bytes
    event_id: bytes
    project: str
    whole: Callable[[bytes], int]

    def request(self, method: bytes) -> bytes:
        """The request to the sibling."""
        lines = b"host: sibling\r\nlast-event-id: %b\r\nx-abyssal-project: %b\r\n"
        return (
            b"%b %b HTTP/1.1\r\n" % (method, self.route)
            + lines % (self.event_id, self.project.encode())
            + b"\r\n"
        )


def socket_of(directory: str, worker: int) -> str:
    """The private socket of the worker at a place, below the node's runtime directory."""
    return f"{directory}/worker-{worker}.sock"


class Siblings:
    """Connections to the other workers. `directory` is where they listen; `places` are theirs."""

    def __init__(
        self, directory: str, places: list[int], spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._pools = {at: ConnectionPool(Address(path=socket_of(directory, at))) for at in places}
        self._spawn = spawn

    def __contains__(self, worker: int) -> bool:
        return worker in self._pools

    def resume(
        self, worker: int, exchange: Exchange, client: Client, wanted: Wanted, missing: Callable[[], None]
    ) -> None:
        """Let `client` read a stream that the sibling at a place has."""
        SiblingCall(exchange, client, wanted, missing, self._pools[worker], self._spawn).start()

    def stop(self, worker: int, wanted: Wanted) -> None:
        """Have a sibling end a stream; whether it had it is not told."""
        self._spawn(_stop(self._pools[worker], wanted))

    def sweep(self) -> None:
        """Let go of connections that idled; once a second."""
        for pool in self._pools.values():
            pool.sweep()

    def close(self) -> None:
        """Cut every connection."""
        for pool in self._pools.values():
            pool.close()


class SiblingCall:
    """A client reads what a sibling has."""

    def __init__(
        self,
        exchange: Exchange,
        client: Client,
        wanted: Wanted,
        missing: Callable[[], None],
        pool: ConnectionPool,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._exchange, self._client, self._wanted, self._missing = exchange, client, wanted, missing
        self._pool, self._spawn = pool, spawn
        self._connection: UpstreamConnection | None = None
        self._began = self._over = self._paused = False
        self._out: list[bytes] = []
        self._partial = b""

    def start(self) -> None:
        """Ask the sibling."""
        self._exchange.call = self
        connection = self._pool.acquire_nowait()
        if connection is None:
            self._spawn(self._connect())
        else:
            self._send(connection)

    async def _connect(self) -> None:
        try:
            connection = await self._pool.connect()
        except UpstreamFaultError as fault:
            self.on_fault(fault)
            return
        if self._over:
            self._pool.put_back(connection)
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._wanted.request(b"GET"), self)
        if self._paused:
            connection.pause()

    # --- the client's side ----------------------------------------------------------------------------

    def cancel(self) -> None:
        """The client left; the sibling sees its reader go."""
        self._close()

    def stop(self) -> None:
        """The client wants no more of it."""
        self._close()
        self._spawn(_stop(self._pool, self._wanted))

    def pause(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    def tick(self, now: float) -> None:
        """The sibling has the time-outs, and says the comments."""

    # --- the sibling's side ---------------------------------------------------------------------------

    def on_head(self, status: int, headers: Headers, length: int | None) -> None:
        if status == 200:
            self._began = True
            self._client.begin(200, heads.forwarded(headers), None)

    def on_body(self, data: bytes) -> None:
        self._out.append(data)

    def on_flush(self) -> None:
        out, self._out = self._out, []
        if out and self._began:
            data = self._partial + b"".join(out) if self._partial else b"".join(out)
            cut = self._wanted.whole(data)
            self._partial = data[cut:]
            if cut:
                self._client.send(data[:cut])

    def on_end(self) -> None:
        self._connection = None
        self.on_flush()
        self._finish(whole=not self._partial)

    def on_fault(self, fault: UpstreamFaultError) -> None:
        stale = self._connection is not None and self._connection.reused and not fault.answered
        self._connection = None
        if self._over:
            return
        if stale:
            self._spawn(self._connect())
            return
        self._finish(whole=False)

    def _finish(self, *, whole: bool) -> None:
        self._close()
        if not self._began:
            self._missing()
        elif whole:
            self._client.finish()
        else:
            self._client.abort()

    def _close(self) -> None:
        self._over = True
        self._exchange.call = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


async def _stop(pool: ConnectionPool, wanted: Wanted) -> None:
    try:
        connection = await pool.connect()
    except UpstreamFaultError:
        return  # the sibling is gone, and so is the stream
    connection.send(wanted.request(b"DELETE"), _Unheard())


class _Unheard:
    """Takes an answer that nobody waits for."""

    def on_head(self, status: int, headers: Headers, length: int | None) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_flush(self) -> None: ...
    def on_end(self) -> None: ...
    def on_fault(self, fault: UpstreamFaultError) -> None: ...
