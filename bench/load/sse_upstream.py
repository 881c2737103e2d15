"""An upstream that streams: `python -m bench.load.sse_upstream --port N --interval-ms 5`.

1. A POST whose body says `"stream": true` is answered with `max_tokens` content events, one each interval,
   in chunked coding, each event in one write; before them the opening delta, after them usage and [DONE].
2. A POST without it is answered with the fixed completion at once.
3. Any GET is answered 200 with `{}`, which is enough for the health checks of the peers.
4. With `--at-once` the first content event is in the same write as the head and the opening delta.
5. A stream that is late catches up in a burst: the number of events never depends on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import re
import time
from collections import deque
from typing import cast

from bench.load import payloads
from bench.load.loops import run
from bench.load.timer import Timer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MAX_TOKENS = re.compile(rb'"max_(?:completion_)?tokens": *(\d+)')  # sglang-router renames it
_STREAM = re.compile(rb'"stream": *true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _answer(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)


_PLAIN = _answer(payloads.completion())
_HEALTH = _answer(b"{}")
_FIRST = _chunk(payloads.first_event())
_CONTENT = _chunk(payloads.content_event())


class Pacer:
    """Sends each stream's next event when it is due. All intervals are equal, so due times form a queue."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._interval = interval
        self._due: deque[tuple[float, Connection]] = deque()
        self._timer = Timer()
        loop.add_reader(self._timer.fd, self._expired)

    def add(self, stream: Connection) -> None:
        at = time.monotonic() + self._interval
        self._due.append((at, stream))
        if len(self._due) == 1:
            self._timer.arm(at)

    def _expired(self) -> None:
        self._timer.expirations()
        due, interval = self._due, self._interval
        now = time.monotonic()
        while due and due[0][0] <= now:
            at, stream = due.popleft()
            if stream.send_next():
                due.append((at + interval, stream))
        if due:
            self._timer.arm(due[0][0])


class Connection(asyncio.Protocol):
    """One keep-alive connection; one answer at a time."""

    def __init__(self, pacer: Pacer, *, at_once: bool) -> None:
        self._pacer = pacer
        self._at_once = at_once
        self._transport: asyncio.Transport
        self._buffer = b""
        self._left = 0
        self._total = 0
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports keep the interface without inheriting from it.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head, rest[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"POST "):
            self._transport.write(_HEALTH)
        elif not _STREAM.search(body):
            self._transport.write(_PLAIN)
        else:
            asked = _MAX_TOKENS.search(body)
            self._total = self._left = int(asked[1]) if asked else 64
            opening = _STREAM_HEAD + _FIRST
            if self._at_once:
                self._left -= 1
                opening += _CONTENT
            self._transport.write(opening)
            self._pacer.add(self)

    def send_next(self) -> bool:
        """Sends one event; False when the stream has ended or its reader has gone."""
        if self._gone:
            return False
        if self._left > 0:
            self._left -= 1
            self._transport.write(_CONTENT)
            return True
        usage, done = payloads.last_events(self._total)
        self._transport.write(_chunk(usage))
        self._transport.write(_chunk(done) + b"0\r\n\r\n")
        return False


async def serve(port: int, interval: float, *, at_once: bool) -> None:
    """Serves on 127.0.0.1 until cancelled. `interval` is in seconds."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop, interval)
    server = await loop.create_server(
        lambda: Connection(pacer, at_once=at_once), "127.0.0.1", port, backlog=2048
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.sse_upstream")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval-ms", type=float, default=5.0)
    parser.add_argument("--at-once", action="store_true", help="text comes with the head")
    arguments = parser.parse_args()
    gc.disable()  # a pause of the generator would look like a pause of what is measured
    with contextlib.suppress(KeyboardInterrupt):
        run(serve(arguments.port, arguments.interval_ms / 1000, at_once=arguments.at_once))


if __name__ == "__main__":
    main()
