"""One health check: what llama.cpp's answers mean, and that everything else is silence."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from abyssal.engine.health import check_health
from abyssal.engine.lifecycle import Health


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:
        yield str(Path(directory) / "e.sock")


def asked(path: str, answer: bytes | None, timeout: float = 5) -> tuple[Health, bytes]:
    """What a check makes of `answer` (None: nothing is ever sent), and what it had asked."""

    async def main() -> tuple[Health, bytes]:
        received = bytearray()
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.extend(await reader.readuntil(b"\r\n\r\n"))
            if answer is not None:
                writer.write(answer)
            else:
                with suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            over.set()

        async with await asyncio.start_unix_server(serve, path):
            health = await check_health(path, timeout)
            await over.wait()
        return health, bytes(received)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}', Health.OK),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Health.LOADING),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Health.SILENT),
        (b"SSH-2.0-OpenSSH\r\n", Health.SILENT),
        (b"HTTP", Health.SILENT),
        (b"", Health.SILENT),
    ],
)
def test_answers(path: str, answer: bytes, health: Health) -> None:
    assert asked(path, answer)[0] is health


def test_what_is_asked(path: str) -> None:
    head, _, rest = asked(path, b"HTTP/1.1 200 OK\r\n\r\n")[1].partition(b"\r\n")
    assert head == b"GET /health HTTP/1.1"
    assert b"\r\nConnection: close\r\n" in b"\r\n" + rest


def test_silence_ends_with_the_time_out(path: str) -> None:
    assert asked(path, None, timeout=0.05)[0] is Health.SILENT


def test_no_socket_is_silence(path: str) -> None:
    assert asyncio.run(check_health(path, 5)) is Health.SILENT
    Path(path).touch()
    assert asyncio.run(check_health(path, 5)) is Health.SILENT
