"""One WebSocket, without its bytes' way: its upgrade, its messages, its pings, how it closed.

What is in a frame is the `websockets` library's matter (RFC 6455). Here stands what it means: an upgrade that
was refused is an HTTP answer, a closing before the end is a connection that broke.
"""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CONNECTING, OPEN
from websockets.uri import WebSocketURI

from abyssal.client.answer import Answer
from abyssal.client.request import Endpoint
from abyssal.wire.errors import ApiConnectionError, LocalError, ProtocolError

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""A message longer than this is not one: some other server, or an attack on memory."""

_UPGRADE = (
    b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %b\r\n\r\n"
)
_TEXT, _BINARY, _CONTINUED = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
_GOING_AWAY = 1001  # RFC 6455 section 7.4.1


class SocketFrames:
    """One socket. After each call but `opened` and `fault`, what `outgoing` gives is to be sent.

    `refusal` is the HTTP answer of a server that did not open a socket. `endpoint` has all the headers of the
    upgrade that are not the socket's own.
    """

    __slots__ = ("_parts", "_protocol", "_upgrade", "_where", "refusal")

    def __init__(self, endpoint: Endpoint) -> None:
        base = endpoint.base
        self._where = f"{base.host}:{base.port}"
        uri = WebSocketURI(base.scheme == "https", base.host, base.port, endpoint.target, "")
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
        self._upgrade = endpoint.head + _UPGRADE % self._protocol.key.encode()
        self._parts: list[bytes] = []  # of a message whose last fragment has not come
        self.refusal: Answer | None = None

    @property
    def upgraded(self) -> bool:
        """Whether the server opened a socket; it may have closed it again."""
        return self._protocol.state is not CONNECTING

    @property
    def opened(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is OPEN

    def outgoing(self) -> bytes:
        """What is to be sent, b"" for nothing."""
        writes = self._protocol.data_to_send()
        if self._upgrade:
            writes.insert(0, self._upgrade)
            self._upgrade = b""
        return b"".join(writes)

    def ask(self, message: bytes) -> None:
        """Sends `message`, text in UTF-8; not on a socket that is closed: what came on it says why."""
        if self.opened:
            self._protocol.send_text(message)

    def close(self) -> None:
        """Says that nothing more will be asked or read."""
        if self.opened:
            self._protocol.send_close(1000)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that end in `data`; b"" is the end of all bytes. Look at `opened`, `refusal` then."""
        protocol = self._protocol
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        messages: list[bytes] = []
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, messages)
            elif isinstance(event, Response) and protocol.state is CONNECTING:
                headers = {name.lower(): value for name, value in event.headers.raw_items()}
                self.refusal = Answer(event.status_code, headers, bytes(event.body or b""))
        return messages

    def fault(self) -> LocalError | None:
        """Why nothing more will come; None if something may."""
        protocol = self._protocol
        refused = protocol.handshake_exc
        if refused is not None:
            if isinstance(refused, InvalidMessage) and isinstance(refused.__cause__, EOFError):
                return ApiConnectionError(f"{self._where} closed the connection before it answered.")
            return ProtocolError(f"{self._where} opens no WebSocket: {refused}. Is base_url right?")
        if protocol.close_rcvd is not None:
            return ApiConnectionError(f"{self._where} closed the socket: {_told(protocol.close_rcvd)}.")
        if protocol.parser_exc is not None:
            if isinstance(protocol.parser_exc, EOFError):
                return ApiConnectionError(f"{self._where} closed the connection without a word.")
            return ProtocolError(f"{self._where} sent what no WebSocket may send: {protocol.parser_exc}.")
        return None

    def _take(self, frame: Frame, messages: list[bytes]) -> None:
        if frame.opcode is _TEXT or frame.opcode is _BINARY or frame.opcode is _CONTINUED:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                messages.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
                self._parts.clear()


def _told(close: Close) -> str:
    words = f"{close.code} {close.reason}".strip()
    return f"{words}; it is shutting down" if close.code == _GOING_AWAY else words
