"""Requests over sockets of our own, blocking: one at a time each, kept alive between calls. No proxies."""

from __future__ import annotations

import time
from collections import deque
from queue import Empty, SimpleQueue

from abyssal.client import defaults
from abyssal.client.answer import Answer
from abyssal.client.direct_socket import SocketConnection, shorter
from abyssal.client.http1 import AnswerReader
from abyssal.client.request import Request
from abyssal.client.settings import BaseUrl
from abyssal.client.timeout import Timeout
from abyssal.client.tls import tls_context
from abyssal.client.transport import PoolTimeoutError
from abyssal.wire.errors import LocalError


class DirectTransport:
    """At most `pool_size` connections to one place. Keeps the `Transport` protocol."""

    def __init__(self, base: BaseUrl, pool_size: int) -> None:
        self._pool = _Pool(base, pool_size)

    def send(self, request: Request) -> Answer:
        deadline = None if request.total is None else time.monotonic() + request.total
        connection = self._pool.acquire(request.timeout, deadline)
        reader = AnswerReader()
        try:
            connection.send(request, deadline)
            parts: list[bytes] = []
            while not reader.complete:
                parts.append(connection.read(reader, request.timeout.read, deadline))
        except BaseException:
            self._pool.discard(connection)
            raise
        self._pool.release(connection, reader)
        return Answer(reader.status, reader.headers, parts[0] if len(parts) == 1 else b"".join(parts))

    def open(self, request: Request) -> _Streamed:
        connection = self._pool.acquire(request.timeout, None)
        reader = AnswerReader()
        try:
            connection.send(request, None)
            first = b""
            while not reader.status:
                first = connection.read(reader, request.timeout.read, None)
        except BaseException:
            self._pool.discard(connection)
            raise
        return _Streamed(self._pool, connection, reader, first, request.timeout.read)

    def close(self) -> None:
        self._pool.close()


class _Streamed:
    """An answer that is read as it comes. Keeps the `StreamedAnswer` protocol."""

    def __init__(
        self,
        pool: _Pool,
        connection: SocketConnection,
        reader: AnswerReader,
        first: bytes,
        read_timeout: float | None,
    ) -> None:
        self.status = reader.status
        self.headers = reader.headers
        self._pool = pool
        self._connection: SocketConnection | None = connection
        self._reader = reader
        self._first = first
        self._read_timeout = read_timeout

    def read(self) -> bytes:
        data, self._first = self._first, b""
        while not data and self._connection is not None and not self._reader.complete:
            data = self._connection.read(self._reader, self._read_timeout, None)
        return data

    def close(self, *, drain: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if drain:
            self._pool.drain(connection, self._reader)
        else:
            self._pool.release(connection, self._reader)

    def __del__(self) -> None:
        self.close()  # a stream that was dropped must not keep its place in the pool


class _Pool:
    """The connections. A slot is had by whoever has a connection or is opening one. For any threads."""

    def __init__(self, base: BaseUrl, size: int) -> None:
        self._idle: deque[SocketConnection] = deque()  # its ends are atomic; the last one used goes first
        self._closed = False
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self._slots.put(None)
        self._size = size
        self._base = base
        self._tls = tls_context(base)

    def acquire(self, timeout: Timeout, deadline: float | None) -> SocketConnection:
        """A connection that is open and silent. Give it back with one of the next three."""
        wait = defaults.POOL_TIMEOUT if deadline is None else shorter(defaults.POOL_TIMEOUT, deadline)
        try:
            self._slots.get(timeout=wait)
        except Empty:
            raise PoolTimeoutError(
                f"No connection became free in {wait:.0f} s: all {self._size} are in use. Close streams "
                "that you do not read to their end, or give the client a larger pool_size."
            ) from None
        try:
            while (connection := self._pop_idle()) is not None:
                if connection.is_usable():
                    return connection
                connection.close()
            limit = timeout.connect if deadline is None else shorter(timeout.connect, deadline)
            return SocketConnection(self._base, self._tls, limit)
        except BaseException:
            self._slots.put(None)
            raise

    def release(self, connection: SocketConnection, reader: AnswerReader) -> None:
        """The connection is done; it is kept if it can be."""
        if self._closed or not reader.reusable:
            self.discard(connection)
            return
        connection.begin_idling()
        self._idle.append(connection)
        self._slots.put(None)

    def drain(self, connection: SocketConnection, reader: AnswerReader) -> None:
        """As `release`, once the little that may still come has come, or has not come soon."""
        try:
            if not reader.complete:
                connection.read(reader, defaults.DRAIN_TIMEOUT, None)
        except LocalError:
            pass  # then the connection is simply not kept
        finally:
            self.release(connection, reader)

    def discard(self, connection: SocketConnection) -> None:
        """The connection is in the middle of something that nobody waits for."""
        connection.close()
        self._slots.put(None)

    def close(self) -> None:
        self._closed = True
        while (connection := self._pop_idle()) is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _pop_idle(self) -> SocketConnection | None:
        try:
            return self._idle.pop()
        except IndexError:  # asking first would not do: another thread may be quicker
            return None
