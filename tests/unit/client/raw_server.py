"""A raw HTTP server that says just what a test wrote, and the bytes that tests let it say."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import msgspec


class Received:
    """One request, as it came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        self.body = body

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.gone = threading.Event()  # the client's end was seen to close
        self._held = b""

    def receive(self) -> Received | None:
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                return None
        head, _, rest = self._held.partition(b"\r\n\r\n")
        request = Received(head, b"")
        length = int(request.headers.get("content-length", "0"))
        while len(rest) < length:
            self._held = b""
            if not self._more():
                return None
            rest += self._held
        request.body, self._held = rest[:length], rest[length:]
        return request

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait_until_gone(self) -> None:
        """Until the client closes its end."""
        while self._more():
            pass

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self._held += data
        if not data:
            self.gone.set()
        return bool(data)


Reply = bytes | Callable[[Peer], None]


class RawServer:
    """Gives the n-th request the n-th reply, the last one again and again. A reply is bytes, or it acts."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Received] = []
        self.peers: list[Peer] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed long ago
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        for peer in self.peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(connection)
            self.peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            with self._lock:
                reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
                self.requests.append(request)
            try:
                if isinstance(reply, bytes):
                    peer.send(reply)
                else:
                    reply(peer)
            except OSError:
                return  # the client has gone, or the reply closed the connection


def answer(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    fields = {"content-type": "application/json", "content-length": str(len(content))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Some Reason", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def completion(text: str = "Hello!", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return msgspec.json.encode({"id": "1", "model": "deepseek-chat", "choices": [choice]} | fields)


def chunk(text: str | None = None, *, finish: str | None = None, **fields: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"id": "1", "choices": [choice]} | fields) + b"\n\n"


def error_body(message: str = "no", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": None} | fields}


DONE = b"data: [DONE]\n\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-7\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def framed(*pieces: bytes, end: bool = True) -> bytes:
    """The pieces as HTTP chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n" * end


def stream(*events: bytes) -> bytes:
    return STREAM_HEAD + framed(*events)
