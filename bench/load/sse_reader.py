"""Reads many streams at once and counts: `python -m bench.load.sse_reader --port N --streams 64`.

Prints one JSON object: `events` and `reads` (all streams together), `streams` that came to their end,
`seconds` from the first request to the last byte, `tokens` (sum of the `completion_tokens` that came),
`first_byte_ms` (median).
With `--leave` each stream is left at its first byte: `tokens` is 0, and none has to end.
Any stream that is refused or cut short ends the process with status 1 and says how.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import statistics
import sys
import time
from typing import cast

from bench.load import payloads
from bench.load.loops import run

_MARK = b"data: "
_TOKENS = re.compile(rb'"completion_tokens": *(\d+)')
_TAIL = 2048


class Stream(asyncio.Protocol):
    """One request on one connection, read to its end mark."""

    def __init__(
        self, request: bytes, ended: asyncio.Future[None], last: bytes, *, leave: bool = False
    ) -> None:
        self._last = last
        self._request = request
        self._leave = leave
        self._ended = ended
        self._transport: asyncio.Transport
        self._tail = b""
        self.events = self.reads = 0
        self.sent_at = self.first_at = 0.0

    @property
    def tokens(self) -> int:
        """`completion_tokens` of the usage that rode on the last chunk; 0 when none came."""
        found = _TOKENS.findall(self._tail)
        return int(found[-1]) if found else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports keep the interface without inheriting from it.
        self._transport = cast("asyncio.Transport", transport)
        self.sent_at = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.first_at:
            self.first_at = time.monotonic()
            if not data.startswith(b"HTTP/1.1 200"):
                self._fail(f"refused: {data[:300]!r}")
                return
        self.reads += 1
        # A mark may be split between two reads; five carried bytes cannot hold a whole one.
        self.events += (self._tail[-len(_MARK) + 1 :] + data).count(_MARK)
        # Both searches look at short tails only, so that a reader of long streams stays cheap.
        self._tail = (self._tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]
        done = self._leave or self._last in self._tail[-len(data) - len(self._last) :]
        if done and not self._ended.done():
            self._ended.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"closed after {self.events} events without an end ({exc!r}), last: {self._tail[-200:]!r}")

    def _fail(self, what: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(ConnectionError(what))
            self._transport.close()


def request_bytes(arguments: argparse.Namespace, number: int) -> bytes:
    """The whole HTTP request of stream `number`."""
    prompt = arguments.prompt and f"{arguments.prompt} {number}"
    if arguments.body:
        body = arguments.body.encode()
    else:
        body = payloads.request_body(stream=True, max_tokens=arguments.events, prompt=prompt)
    if arguments.model:
        body = body.replace(payloads.MODEL.encode(), arguments.model.encode())
    key = f"Authorization: Bearer {arguments.key}\r\n" if arguments.key else ""
    head = (
        f"POST {arguments.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: text/event-stream\r\n{key}{_lines(arguments.header)}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _lines(headers: list[str]) -> str:
    return "".join(f"{header}\r\n" for header in headers)


async def read_repeatedly(arguments: argparse.Namespace) -> dict[str, float]:
    """`--repeat` times all streams, one lot after another; everything is added up."""
    seen = await read_all(arguments)
    for _ in range(arguments.repeat - 1):
        more = await read_all(arguments)
        seen = {name: value + more[name] for name, value in seen.items()}
    seen["first_byte_ms"] /= arguments.repeat
    return seen


async def read_all(arguments: argparse.Namespace) -> dict[str, float]:
    """Opens the streams one after another over `--stagger-ms` each, and waits for all ends."""
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    ends: list[asyncio.Future[None]] = []
    started = time.monotonic()
    for number in range(arguments.streams):
        end: asyncio.Future[None] = loop.create_future()
        stream = Stream(request_bytes(arguments, number), end, arguments.last.encode(), leave=arguments.leave)
        if arguments.uds:
            await loop.create_unix_connection(lambda made=stream: made, arguments.uds)
        else:
            await loop.create_connection(lambda made=stream: made, "127.0.0.1", arguments.port)
        streams.append(stream)
        ends.append(end)
        if arguments.stagger_ms:
            await asyncio.sleep(arguments.stagger_ms / 1000)
    await asyncio.gather(*ends)
    return {
        "events": sum(stream.events for stream in streams),
        "reads": sum(stream.reads for stream in streams),
        "streams": len(streams),
        "seconds": time.monotonic() - started,
        "tokens": sum(stream.tokens for stream in streams),
        "first_byte_ms": 1000 * statistics.median(stream.first_at - stream.sent_at for stream in streams),
    }


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.sse_reader")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--port", type=int)
    target.add_argument("--uds")
    parser.add_argument("--key", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--prompt", default="", help="each stream gets it with its own number")
    parser.add_argument("--body", default="", help="the whole request body, in place of the usual one")
    parser.add_argument("--header", action="append", default=[], help="a further header line")
    parser.add_argument("--leave", action="store_true", help="leave each stream at its first byte")
    parser.add_argument("--path", default=payloads.PATH)
    parser.add_argument("--last", default="data: [DONE]", help="what a stream ends with")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--events", type=int, default=1000, help="content events asked for, per stream")
    parser.add_argument("--repeat", type=int, default=1, help="lots of streams, one after another")
    parser.add_argument("--stagger-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    gc.disable()
    try:
        print(json.dumps(run(read_repeatedly(arguments))))
    except OSError as error:
        sys.exit(f"a stream failed: {error}")


if __name__ == "__main__":
    main()
