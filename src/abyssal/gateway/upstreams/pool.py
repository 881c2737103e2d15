"""Idle connections to one address, newest first, and how to make another. It does not know HTTP."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import msgspec

from abyssal.gateway.upstreams.connection import UpstreamConnection, UpstreamFaultError

# Many servers (llama.cpp, uvicorn and so vLLM) end an idle connection after 5 s. A request that is sent at
# that moment is lost, so connections are let go before.
_MOST_SWEEPS = 3


class Address(msgspec.Struct, frozen=True):
    """Where an upstream listens: a Unix socket's `path`, or `host` and `port` (with TLS or not)."""

    host: str = ""
    port: int = 0
    tls: bool = False
    path: str = ""
    ca_file: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class ConnectionPool:
    """Keep-alive connections to `address`. `connect_timeout` is in seconds."""

    def __init__(self, address: Address, *, connect_timeout: float = 5.0, keep: int = 1024) -> None:
        self.address = address
        self._timeout = connect_timeout
        self._keep = keep
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._ssl = ssl.create_default_context(cafile=address.ca_file or None) if address.tls else None

    def acquire_nowait(self) -> UpstreamConnection | None:
        """An idle connection, or None when one must be made with `connect`."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable:
                connection.reused = True
                connection.sweeps = 0
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises UpstreamFaultError when there is none to be had in time."""
        loop = asyncio.get_running_loop()
        address = self.address
        connection = UpstreamConnection(self._release)
        try:
            async with asyncio.timeout(self._timeout):
                if address.path:
                    await loop.create_unix_connection(lambda: connection, address.path)
                else:
                    tls: dict[str, Any] = {"ssl": self._ssl} if self._ssl else {}
                    await loop.create_connection(lambda: connection, address.host, address.port, **tls)
        except TimeoutError:
            raise UpstreamFaultError(
                f"no connection within {self._timeout:g} s", code="upstream_timeout"
            ) from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
            reason = getattr(error, "strerror", None) or str(error)
            raise UpstreamFaultError(f"no connection ({reason})", code="upstream_unreachable") from None
        if not connection.usable:
            raise UpstreamFaultError("it closed a new connection at once", code="upstream_closed")
        self._open.add(connection)
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """Return a connection that was acquired and not used."""
        self._release(connection, True)

    def _release(self, connection: UpstreamConnection, reusable: bool) -> None:
        if reusable and len(self._idle) < self._keep:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            if reusable:
                connection.close()
            elif connection in self._idle:
                self._idle.remove(connection)

    def sweep(self) -> None:
        """Cut what has been idle for `_MOST_SWEEPS` calls of this, one a second."""
        for connection in tuple(self._idle):
            connection.sweeps += 1
            if connection.sweeps > _MOST_SWEEPS:
                self._idle.remove(connection)
                self._open.discard(connection)
                connection.close()

    def statistics(self) -> tuple[int, int]:
        """Connections open and idle."""
        return len(self._open), len(self._idle)

    def close(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._open):
            connection.close()
        self._idle.clear()
        self._open.clear()
