"""A constant rate, whatever the answers do: `python -m bench.load.open_loop --port N --rate 1000`.

1. Request k is due at start + k / rate, and its latency counts from then: a slow server cannot slow the
   generator and so hide its own queue ("coordinated omission").
2. Idle keep-alive connections are used last in, first out; when all are busy, another is opened.
3. At `--max-connections` the due requests wait in a queue, and the wait is part of their latency.

Prints one JSON object: milliseconds at `p50`, `p90`, `p99`, `p999`, `max`; `sent_late_p99` (how late the
generator itself was); `requests`, `errors`, `connections`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import sys
import time
from collections import deque
from typing import cast

from bench.load import payloads
from bench.load.loops import run
from bench.load.timer import Timer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED_END = b"0\r\n\r\n"


class Generator:
    """Sends on time and keeps every latency, in seconds."""

    def __init__(self, port: int, request: bytes, rate: float, total: int, most: int) -> None:
        self.request = request
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.errors = 0
        self.connections = 0
        self._port = port
        self._period = 1 / rate
        self._total = total
        self._most = most
        self._sent = 0
        self._start = 0.0
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._timer = Timer()
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()

    async def run(self, warm: int) -> None:
        """Opens `warm` connections, then sends everything and waits for all answers (10 s at most)."""
        for _ in range(warm):
            await self._open()
        self._start = time.monotonic() + 0.05
        self._loop.add_reader(self._timer.fd, self._tick)
        self._timer.arm(self._start, self._period)
        await asyncio.wait_for(self._done, self._total * self._period + 10)

    async def _open(self) -> None:
        self.connections += 1
        _, connection = await self._loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        self.free(connection)

    def _tick(self) -> None:
        # What is due is told by the clock, not by the count of expirations: a late wake-up sends them all.
        self._timer.expirations()
        now = time.monotonic()
        while self._sent < self._total and self._start + self._sent * self._period <= now:
            due = self._start + self._sent * self._period
            self._sent += 1
            self.late.append(now - due)
            if self._idle:
                self._idle.pop().send(due)
            else:
                self._waiting.append(due)
                if self.connections < self._most:
                    task = self._loop.create_task(self._open())
                    self._opening.add(task)
                    task.add_done_callback(self._opening.discard)
        if self._sent == self._total:
            self._loop.remove_reader(self._timer.fd)

    def free(self, connection: Connection) -> None:
        """The connection can take the next request."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """The server closed the connection; another is opened when one is needed."""
        self.connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def answered(self, due: float, *, good: bool) -> None:
        """One request has its answer, or will never have one."""
        self.latencies.append(time.monotonic() - due)
        self.errors += not good
        if len(self.latencies) == self._total and not self._done.done():
            self._done.set_result(None)


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, owner: Generator) -> None:
        self._owner = owner
        self._transport: asyncio.Transport
        self._due = 0.0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports keep the interface without inheriting from it.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, due: float) -> None:
        """Sends the request that was due at `due`."""
        self._due = due
        self._transport.write(self._owner.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return
        if length is None and not body.endswith(_CHUNKED_END):
            return
        self._buffer = b""
        due, self._due = self._due, 0.0
        self._owner.answered(due, good=head.startswith(b"HTTP/1.1 200"))
        self._owner.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self)
        if self._due:
            self._owner.answered(self._due, good=False)


def _at(ordered: list[float], share: float) -> float:
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Runs the load; latencies in milliseconds."""
    body = payloads.request_body(stream=False)
    key = f"Authorization: Bearer {arguments.key}\r\n" if arguments.key else ""
    head = (
        f"POST {payloads.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{key}Content-Length: {len(body)}\r\n\r\n"
    )
    total = int(arguments.rate * arguments.seconds)
    generator = Generator(
        arguments.port, head.encode() + body, arguments.rate, total, arguments.max_connections
    )
    await generator.run(warm=32)
    ordered, late = sorted(generator.latencies), sorted(generator.late)
    return {
        "p50": _at(ordered, 0.5),
        "p90": _at(ordered, 0.9),
        "p99": _at(ordered, 0.99),
        "p999": _at(ordered, 0.999),
        "max": _at(ordered, 1.0),
        "sent_late_p99": _at(late, 0.99),
        "requests": total,
        "errors": generator.errors,
        "connections": generator.connections,
    }


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.open_loop")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--max-connections", type=int, default=512)
    arguments = parser.parse_args()
    gc.disable()
    try:
        print(json.dumps(run(measure(arguments))))
    except (OSError, TimeoutError) as error:
        sys.exit(f"the load could not be made: {error!r}")


if __name__ == "__main__":
    main()
