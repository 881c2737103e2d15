"""The client's side of a call in Protobuf: takes the answer in JSON, writes it as messages.

It stands where the connection would (`exchange.Client`): who answers knows nothing of it.
"""

from __future__ import annotations

from abyssal.gateway.bodies.link import Connection, Link
from abyssal.wire import protobuf
from abyssal.wire.errors import ProtocolError, UpstreamBrokenError
from abyssal.wire.sse import Event, EventDecoder

_TYPE = b"content-type: application/x-protobuf\r\n"


class ProtobufAnswer(Link):
    """See the module. `form` names the format of the route in `wire.protobuf`."""

    def __init__(self, client: Connection, form: str) -> None:
        super().__init__(client)
        self._form = protobuf.FORMATS[form]
        self._events: EventDecoder | None = None
        self._writer: protobuf.StreamWriter | None = None  # of a stream that has not told its end
        self._held: list[bytes] = []  # a whole answer that comes in pieces
        self._status = 200
        self._lines = b""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer or refusal, written anew."""
        if status == 200:
            try:
                written = protobuf.encode_answer(self._form, body)
            except ProtocolError:
                status, written = 502, protobuf.encode_error(_unreadable().as_json())
        else:
            written = protobuf.encode_error(body)
        self._client.answer(status, _as_protobuf(headers), written)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """A stream's head; a whole answer is held until it is complete."""
        if b"text/event-stream" in headers:
            self._events, self._writer = EventDecoder(), protobuf.StreamWriter(self._form)
            self._client.begin(status, _as_protobuf(headers), None)
        else:
            self._status, self._lines = status, headers

    def send(self, data: bytes) -> None:
        """Server-sent events, as whole ones; or a piece of a whole answer."""
        if self._events is None:
            self._held.append(data)
            return
        events = self._events.feed(data)
        out = [self._written(event) for event in events]
        if not events and data.startswith(b":"):  # a comment that keeps the line open
            out.append(protobuf.KEEP_ALIVE)
        written = b"".join(out)
        if written:
            self._client.send(written)

    def finish(self) -> None:
        """The end of what `begin` announced."""
        if self._events is None:
            self.answer(self._status, self._lines, b"".join(self._held))
        else:
            self._client.finish()

    def _written(self, event: Event) -> bytes:
        writer = self._writer
        if writer is None:
            return b""
        if event.data == b"[DONE]" or event.data.startswith(b'{"error"'):
            self._writer = None
        try:
            return writer.write(event)
        except ProtocolError:
            self._writer = None
            return writer.write(Event(_unreadable().as_json()))


def _unreadable() -> UpstreamBrokenError:
    return UpstreamBrokenError(
        "The upstream answered something that cannot be read; try again.", code="upstream_garbage"
    )


def _as_protobuf(headers: bytes) -> bytes:
    """Header lines whose content type is ours."""
    kept = [line for line in headers.split(b"\r\n") if line and not line.lower().startswith(b"content-type:")]
    return _TYPE + b"".join(line + b"\r\n" for line in kept)
