"""A WebSocket client on a stage: frames are made and read by `websockets`, so both ends are not ours."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from tests.unit.gateway.messages import KEY
from tests.unit.gateway.stage import ServerConnection, Stage
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from abyssal.gateway.dialects.sockets.seams import Stages
from abyssal.gateway.dialects.sockets.session import Session
from abyssal.stores.rights import BITS

HANDSHAKE_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3, and what it must be answered with
HANDSHAKE_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
AUTH_INIT = {"type": "auth", "access_token": KEY}
AUTH_REQUEST = {"type": "auth", "token": f"Bearer {KEY}"}
INIT = {"type": "init", "model": "m", "prompt": "hello there"}
REQUEST = {"type": "request", "model": "m", "prompt": "hello there"}
BARE = {"model": "m", "prompt": "hello there", "stream": True}


def upgrade(path: str = "/v1/stream", *, key: str = KEY, headers: bytes = b"") -> bytes:
    """An upgrade's head; with no credential when `key` is empty."""
    lines = b"GET %b HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    lines += b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n" % HANDSHAKE_KEY
    if key:
        lines += b"Authorization: Bearer %b\r\n" % key.encode()
    return lines % path.encode() + headers + b"\r\n"


def wire(stage: Stage) -> None:
    """Give a stage's gateway its sockets, where it was built without."""
    gateway = stage.gateway
    if not gateway.front.sockets:
        stages = (gateway.pipeline.identified, gateway.pipeline.translated, gateway.resuming)
        build = partial(Stages, *stages, BITS["chat"])
        gateway.front.sockets = {
            b"/v1/stream": partial(Session, build()),
            b"/v1/chat/stream": partial(Session, build("m")),
        }


class SocketClient:
    """One socket, opened when it is made."""

    def __init__(
        self, stage: Stage, path: str = "/v1/stream", *, key: str = KEY, headers: bytes = b""
    ) -> None:
        wire(stage)
        self.stage = stage
        self.http = stage.client()
        self.transport = self.http.transport
        self.http.send(upgrade(path, key=key, headers=headers))
        head, _, rest = self.http.bytes.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.head = head.decode().lower()
        self._frames = Protocol(CLIENT)
        self._read = len(self.http.bytes) - len(rest)
        self.messages: list[Any] = []
        self.pings = 0
        self.closed: Close | None = None
        self.pongs = True  # pings are answered

    def send(self, *messages: Any) -> SocketClient:
        """Send messages, as JSON unless they are bytes."""
        for message in messages:
            text = message if isinstance(message, bytes) else json.dumps(message).encode()
            self._frames.send_text(text)
        return self._flush()

    def send_frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> SocketClient:
        """Send one frame, sense or nonsense."""
        self._frames.send_frame(Frame(opcode, data, fin))
        return self._flush()

    def close(self, code: int | None = 1000) -> SocketClient:
        self._frames.send_close(code)
        return self._flush()

    def _flush(self) -> SocketClient:
        data = b"".join(self._frames.data_to_send())
        if data and self.transport.reading:
            self.http.send(data)
        return self.read()

    def read(self) -> SocketClient:
        """Take in what came; pings and a closing are answered, as every client does."""
        data = self.http.bytes[self._read :]
        self._read += len(data)
        if data:
            self._frames.receive_data(data)
        for event in self._frames.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.TEXT:
                assert event.fin
                self.messages.append(json.loads(event.data))
            elif event.opcode is Opcode.PING:
                self.pings += 1
            elif event.opcode is Opcode.CLOSE:
                self.closed = self._frames.close_rcvd
        assert self._frames.parser_exc is None, self._frames.parser_exc
        answers = self._frames.data_to_send()
        if answers and self.pongs and not self.transport.closing:
            self.http.send(b"".join(answers))
        return self

    def wait(self, seconds: float) -> SocketClient:
        """Time passes, second by second."""
        for _ in range(round(seconds)):
            self.stage.pass_time(1.0)
            self.read()
        return self

    def take(self) -> list[Any]:
        """The messages since the last time, without the ids that differ each time."""
        self.read()
        taken, self.messages = self.messages, []
        for message in taken:
            request_id = message.pop("request_id", None)
            assert request_id or set(message) <= {"type", "content", "reasoning_content"}, message
        return taken

    @property
    def error(self) -> dict[str, Any]:
        """The error of the only message since the last time."""
        (message,) = self.take()
        assert message.pop("type") == "error"
        assert set(message["error"]) == {"message", "type", "param", "code"}
        return message["error"]

    @property
    def code(self) -> int | None:
        """What the server closed with."""
        self.read()
        return self.closed.code if self.closed else None


def upstream(stage: Stage) -> ServerConnection:
    """The upstream's connection, its stream begun."""
    return stage.server.last.begin_stream()
