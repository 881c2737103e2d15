"""A WebSocket server that says just what a test wrote, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from .face import Face

Reply = list[Any] | Callable[[ServerConnection], None]


class SocketServer:
    """Gives the n-th request the n-th reply, the last one again and again. A reply is messages, or it acts."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Any] = []
        self.upgrades: list[Request] = []
        self.closings: list[int | None] = []
        self.closed = threading.Event()  # some socket was
        self.port = 0
        self.refuse: Callable[[ServerConnection, Request], Response | None] = lambda _, __: None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def upgraded(self, connection: ServerConnection, request: Request) -> Response | None:
        self.upgrades.append(request)
        return self.refuse(connection, request)

    def handle(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                with self._lock:
                    reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
                    self.requests.append(json.loads(message))
                if callable(reply):
                    reply(connection)
                else:
                    for said in reply:
                        connection.send(said if isinstance(said, str | bytes) else json.dumps(said))
        except ConnectionClosed:
            pass
        finally:
            self.closings.append(connection.close_code)
            self.closed.set()


@contextmanager
def socket_server(**options: Any) -> Iterator[SocketServer]:
    server = SocketServer()
    # A client that keeps a socket does not answer its closing before it needs it again: nobody waits for that.
    options = {"process_request": server.upgraded, "compression": None, "close_timeout": 0.5, **options}
    with serve(server.handle, "127.0.0.1", 0, **options) as listening:
        server.port = listening.socket.getsockname()[1]
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join(10)
            assert not thread.is_alive()


def piece(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "response", "content": text, **fields}


def last(**fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    return {
        "type": "done",
        "finish_reason": "stop",
        "usage": usage,
        "model": "m",
        "request_id": "r-1",
    } | fields


def problem(message: str = "no", **fields: Any) -> dict[str, Any]:
    error = {"message": message, "type": "t", "param": None, "code": None} | fields
    return {"type": "error", "error": error, "request_id": "r-9"}


def open_stream(face: Face, prompt: str | None = "Hi", **params: Any) -> Any:
    return face.run(face.client.stream(prompt, **params))
