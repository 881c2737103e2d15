"""Reads many streams over WebSocket and counts: `python -m bench.load.socket_reader --port N --streams 64`.

The frames of a server are not masked (RFC 6455 §5.1) and begin with their length, so they are counted without
a library. Prints one JSON object: `messages` and `reads` of all streams together, and `streams`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from typing import cast

from websockets.protocol import CLIENT
from websockets.protocol import Protocol as Frames

from bench.load import payloads
from bench.load.loops import run

_LAST = b'{"type":"done"'


def upgrade(key: str) -> bytes:
    """The head that opens a socket."""
    return (
        f"GET {payloads.SOCKET_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()


def message(text: bytes) -> bytes:
    """A client's text message as it travels."""
    frames = Frames(CLIENT)
    frames.send_text(text)
    return b"".join(frames.data_to_send())


def frame_ends(data: bytes) -> tuple[int, int, int]:
    """How many whole frames `data` begins with, where they end, and where the last of them begins."""
    at = count = last = 0
    while len(data) - at >= 2:
        length, start = data[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if start + length > len(data) or start > len(data):
            break
        last, at, count = start, start + length, count + 1
    return count, at, last


class Stream(asyncio.Protocol):
    """One socket with one request."""

    def __init__(self, key: str, request: bytes, ended: asyncio.Future[None]) -> None:
        self._opening = upgrade(key)
        self._request = request
        self._ended = ended
        self._transport: asyncio.Transport
        self._rest = b""
        self._open = False
        self.messages = self.reads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._open:
            head, whole, data = data.partition(b"\r\n\r\n")
            if not whole:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail(f"refused: {head[:300]!r}")
                return
            self._open = True
            self._transport.write(self._request)
        self.reads += 1
        count, end, last = frame_ends(data)
        self.messages += count
        self._rest = data[end:]
        if count and data.startswith(_LAST, last) and not self._ended.done():
            self._ended.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"closed after {self.messages} messages without an end ({exc!r})")

    def _fail(self, what: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(ConnectionError(what))
            self._transport.close()


async def read_all(arguments: argparse.Namespace) -> dict[str, float]:
    """Opens the sockets one after another over `--stagger-ms` each, and waits for all ends."""
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    ends: list[asyncio.Future[None]] = []
    for _ in range(arguments.streams):
        end: asyncio.Future[None] = loop.create_future()
        stream = Stream(arguments.key, message(payloads.socket_message(arguments.events)), end)
        await loop.create_connection(lambda made=stream: made, "127.0.0.1", arguments.port)
        streams.append(stream)
        ends.append(end)
        if arguments.stagger_ms:
            await asyncio.sleep(arguments.stagger_ms / 1000)
    await asyncio.gather(*ends)
    return {
        "messages": sum(stream.messages for stream in streams),
        "reads": sum(stream.reads for stream in streams),
        "streams": len(streams),
    }


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.socket_reader")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--events", type=int, default=1000, help="content events asked for, per stream")
    parser.add_argument("--stagger-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    gc.disable()
    try:
        print(json.dumps(run(read_all(arguments))))
    except OSError as error:
        sys.exit(f"a stream failed: {error}")


if __name__ == "__main__":
    main()
