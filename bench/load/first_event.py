"""How long the first text takes over HTTP keep-alive and an open WebSocket: one blocking client, in turn.

`python -m bench.load.first_event --port N --key K --calls 1000` prints one JSON object: the medians in
microseconds, `http` and `socket`, and the median of the differences between neighbours, `later`.
"""

from __future__ import annotations

import argparse
import gc
import json
import socket
import statistics
import sys
import time

from bench.load import payloads
from bench.load.socket_reader import message, upgrade

_TEXT = b"deep water"
_EVENTS = 1


def _connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _timed(link: socket.socket, request: bytes, last: bytes) -> int:
    """Nanoseconds until the first text is there; reads on until `last`."""
    began = time.perf_counter_ns()
    link.sendall(request)
    data = b""
    first = 0
    while last not in data:
        piece = link.recv(65536)
        if not piece:
            sys.exit(f"closed: {data[-300:]!r}")
        data += piece
        if not first and _TEXT in data:
            first = time.perf_counter_ns() - began
    return first


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.first_event")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--calls", type=int, default=1000)
    arguments = parser.parse_args()
    body = payloads.request_body(stream=True, max_tokens=_EVENTS)
    head = (
        f"POST {payloads.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: text/event-stream\r\nAuthorization: Bearer {arguments.key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    call = head.encode() + body
    said = message(payloads.socket_message(_EVENTS))
    kept, opened = _connected(arguments.port), _connected(arguments.port)
    opened.sendall(upgrade(arguments.key))
    if not opened.recv(65536).startswith(b"HTTP/1.1 101"):
        sys.exit("the upgrade was refused")
    gc.disable()
    over_http: list[int] = []
    over_socket: list[int] = []
    for number in range(arguments.calls):
        takes = [
            lambda: over_http.append(_timed(kept, call, b"\r\n0\r\n\r\n")),
            lambda: over_socket.append(_timed(opened, said, b'{"type":"done"')),
        ]
        for take in takes if number % 2 else reversed(takes):
            take()
    later = [mine - other for mine, other in zip(over_socket, over_http, strict=True)]
    medians = {"http": over_http, "socket": over_socket, "later": later}
    print(json.dumps({name: statistics.median(each) / 1000 for name, each in medians.items()}))


if __name__ == "__main__":
    main()
