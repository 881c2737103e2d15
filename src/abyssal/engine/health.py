"""One health check of an engine over its Unix socket: GET /health, and what the answer means."""

from __future__ import annotations

import asyncio

from abyssal.engine.lifecycle import Health

_REQUEST = b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"
_STATUS_LINE_BYTES = 12  # "HTTP/1.1 200"


async def check_health(socket_path: str, timeout: float) -> Health:
    """Ask once, for at most `timeout` seconds. llama.cpp answers 200 when it serves and 503 while it loads;
    whatever else happens (no socket, no answer, not HTTP) is silence."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            writer.write(_REQUEST)
            status_line = await reader.readexactly(_STATUS_LINE_BYTES)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Health.SILENT
    finally:
        if writer is not None:
            writer.transport.abort()
    match status_line.split(b" ", 1):
        case [version, b"200"] if version.startswith(b"HTTP/1."):
            return Health.OK
        case [version, b"503"] if version.startswith(b"HTTP/1."):
            return Health.LOADING
        case _:
            return Health.SILENT
