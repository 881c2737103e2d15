"""Everything that may be slow: requests that are passed to the control process's ASGI application.

The answer is passed back as it comes. Nothing of it is known here but its framing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from abyssal.gateway.exchange import Exchange, Upload, UploadExchange
from abyssal.gateway.relay import heads
from abyssal.gateway.upstreams.connection import Headers, UpstreamConnection, UpstreamFaultError
from abyssal.gateway.upstreams.pool import ConnectionPool
from abyssal.stores.rights import scopes_of
from abyssal.wire.errors import UnavailableError

_PATIENCE = 60.0  # seconds without a byte


class Backstage:
    """Passes exchanges to the application that listens behind `pool`."""

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        now: Callable[[], float],
    ) -> None:
        self.pool, self.spawn, self.now = pool, spawn, now

    def take(self, exchange: Exchange) -> None:
        """Pass `exchange` on: with whom it comes from, where that was found out."""
        kind = _UploadCall if isinstance(exchange, UploadExchange) else _BackstageCall
        kind(exchange, self, _caller_lines(exchange)).start()

    def take_with_authorization(self, exchange: Exchange) -> None:
        """Pass `exchange` on with its Authorization field, for routes that judge it themselves."""
        authorization = exchange.head.authorization
        lines = b"" if authorization is None else b"authorization: %b\r\n" % authorization
        _BackstageCall(exchange, self, _caller_lines(exchange) + lines).start()


def _caller_lines(exchange: Exchange) -> bytes:
    """The header lines that tell who asks and from where; a client's own of these names went before."""
    address = exchange.client.address_of(exchange.head)
    lines = f"x-abyssal-address: {address}\r\n"
    principal = exchange.principal
    if principal is not None:
        scopes = " ".join(scopes_of(principal.scopes))
        lines += f"x-abyssal-credential: {principal.id}\r\nx-abyssal-scopes: {scopes}\r\n"
    return lines.encode()


class _BackstageCall:
    def __init__(self, exchange: Exchange, backstage: Backstage, lines: bytes) -> None:
        self._exchange = exchange
        self._lines = lines
        self._backstage = backstage
        self._connection: UpstreamConnection | None = None
        self._began = False
        self._over = False
        self._paused = False
        self._touched = backstage.now()
        self._out: list[bytes] = []

    def start(self) -> None:
        self._exchange.call = self
        connection = self._backstage.pool.acquire_nowait()
        if connection is None:
            self._backstage.spawn(self._connect())
        else:
            self._send(connection)

    async def _connect(self) -> None:
        try:
            connection = await self._backstage.pool.connect()
        except UpstreamFaultError as fault:
            self.on_fault(fault)
            return
        if self._over:
            self._backstage.pool.put_back(connection)
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._request(), self)
        if self._paused:
            connection.pause()

    def _request(self) -> bytes:
        exchange, asked = self._exchange, self._exchange.head
        method = b"GET" if asked.method == b"HEAD" else asked.method  # the client's side drops the body
        target = asked.path + (b"?" + asked.query if asked.query else b"")
        lines = self._lines + asked.forwarded
        head = b"%b %b HTTP/1.1\r\nhost: abyssal\r\nx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n"
        return head % (method, target, exchange.id.encode(), lines, len(exchange.body)) + exchange.body

    def cancel(self) -> None:
        self._close()

    def pause(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._paused = False
        self._touched = self._backstage.now()
        if self._connection is not None:
            self._connection.resume()

    def tick(self, now: float) -> None:
        if not self._paused and now - self._touched >= _PATIENCE:
            self._fail("it sent nothing")

    def on_head(self, status: int, headers: Headers, length: int | None) -> None:
        self._began = True
        self._exchange.client.begin(status, heads.forwarded(headers), length)

    def on_body(self, data: bytes) -> None:
        self._out.append(data)

    def on_flush(self) -> None:
        self._touched = self._backstage.now()
        out, self._out = self._out, []
        if out:
            self._exchange.client.send(b"".join(out))

    def on_end(self) -> None:
        self._connection = None
        client = self._exchange.client
        self.on_flush()
        self._close()
        client.finish()

    def on_fault(self, fault: UpstreamFaultError) -> None:
        stale = self._connection is not None and self._connection.reused and not fault.answered
        self._connection = None
        if self._over:
            return
        if stale and self._exchange.head.method in (b"GET", b"HEAD"):
            self._backstage.spawn(self._connect())
            return
        self._fail(str(fault))

    def _fail(self, why: str) -> None:
        self._close()
        client = self._exchange.client
        if self._began:
            client.abort()
            return
        error = UnavailableError(
            f"The control process did not answer ({why}); try again shortly.", retry_after=1
        )
        client.answer(error.status_code, heads.error_lines(error), error.as_json())

    def _close(self) -> None:
        self._over = True
        self._exchange.call = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _UploadCall(_BackstageCall):
    """One whose body is passed on while it comes, over a connection of its own that is not used again.

    It is closed here and not by the application: whoever closes with a body unread takes the answer away
    that it has sent (RFC 9112 §9.6).
    """

    def start(self) -> None:
        self._exchange.call = self
        self._backstage.spawn(self._connect())

    def _send(self, connection: UpstreamConnection) -> None:
        super()._send(connection)
        self._upload.take(self)

    def _request(self) -> bytes:
        asked, length = self._exchange.head, self._upload.length
        target = asked.path + (b"?" + asked.query if asked.query else b"")
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        head = b"POST %b HTTP/1.1\r\nhost: abyssal\r\nx-request-id: %b\r\n%b%b\r\n\r\n"
        return head % (target, self._exchange.id.encode(), self._lines + asked.forwarded, framing)

    def on_piece(self, data: bytes) -> None:
        self._touched = self._backstage.now()
        if self._upload.length is None:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)

    def on_whole(self) -> None:
        self._touched = self._backstage.now()
        if self._upload.length is None:
            self._write(b"0\r\n\r\n")

    def on_head(self, status: int, headers: Headers, length: int | None) -> None:
        self._upload.answered = True
        super().on_head(status, headers, length)

    def on_end(self) -> None:
        connection = self._connection
        super().on_end()
        if connection is not None:
            connection.close()

    def _write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data, self._upload.press)

    @property
    def _upload(self) -> Upload:
        assert isinstance(self._exchange, UploadExchange)
        return self._exchange.upload
