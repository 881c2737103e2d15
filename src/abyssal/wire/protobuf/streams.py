"""A stream of StreamEvents, to and from the events that a stream of server-sent events has.

1. `id`, `object`, `created`, `model` and `system_fingerprint` are told when they change, and read as
   unchanged when they are not told.
2. The data of an event is a chunk, `{"error": …}`, or `[DONE]`. Either of the last two ends the stream.
3. An event with nothing in it keeps a silent line open; readers of the stream hear nothing of it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.wire.errors import ProtocolError
from abyssal.wire.protobuf import schema
from abyssal.wire.protobuf.codec import CHAT, Format, error_object, load
from abyssal.wire.protobuf.framing import MAX_MESSAGE_BYTES, FrameDecoder, frame
from abyssal.wire.protobuf.reading import read_message
from abyssal.wire.protobuf.varint import WireError, encode_varint
from abyssal.wire.protobuf.writing import Writer, writer_of
from abyssal.wire.sse import Event

KEEP_ALIVE = frame(b"")
_DONE = b"[DONE]"
_TOLD_ONCE = ("id", "object", "created", "model", "system_fingerprint")
_CHAT, _COMPLETION, _ERROR, _DONE_FIELD, _ID = (field.number << 3 | 2 for field in schema.STREAM_EVENT.fields)


class StreamWriter:
    """Writes one stream."""

    __slots__ = ("_tag", "_told", "_write")

    def __init__(self, form: Format) -> None:
        assert form.chunk is not None
        self._tag = _CHAT if form is CHAT else _COMPLETION
        self._write: Writer = writer_of(form.chunk, False)
        self._told: dict[str, Any] = {}

    def write(self, event: Event) -> bytes:
        """What `event` becomes. Raises ProtocolError when its data are nothing that a stream says."""
        data = event.data
        if data == _DONE:
            return _event(_DONE_FIELD, b"", event.id)
        value = load(data)
        if "error" in value and "choices" not in value:
            content = writer_of(schema.ERROR, False)(error_object(value))
            return _event(_ERROR, content or b"", event.id)
        told = self._told
        for key in _TOLD_ONCE:
            if key in value:
                if value[key] == told.get(key) and value[key] is not None:
                    del value[key]
                else:
                    told[key] = value[key]
        content = self._write(value)
        assert content is not None  # an object always can be written
        return _event(self._tag, content, event.id)


def _event(tag: int, content: bytes, event_id: str) -> bytes:
    out = encode_varint(tag) + encode_varint(len(content)) + content
    if event_id:
        text = event_id.encode()
        out += encode_varint(_ID) + encode_varint(len(text)) + text
    return frame(out)


class StreamReader:
    """Reads one stream, in pieces of any size."""

    __slots__ = ("_frames", "_told", "ended")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._frames = FrameDecoder(max_message_bytes)
        self._told: dict[str, Any] = {}
        self.ended = False  # by its own word

    @property
    def midway(self) -> bool:
        """Whether an event has begun and is not whole."""
        return self._frames.midway

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in `data`, their data as in a stream of server-sent events.

        Raises ProtocolError when the bytes are no such stream; the reader is of no use after that.
        """
        events: list[Event] = []
        try:
            for message in self._frames.feed(data):
                said = read_message(schema.STREAM_EVENT, message)
                content = self._data(said)
                if content:
                    events.append(Event(content, id=said.get("id", "")))
        except WireError as error:
            raise ProtocolError(f"The stream is not of StreamEvents: {error.message}.") from None
        return events

    def _data(self, said: dict[str, Any]) -> bytes:
        if "error" in said:
            self.ended = True
            return msgspec.json.encode({"error": said["error"]})
        if "done" in said:
            self.ended = True
            return _DONE
        chunk: dict[str, Any] | None = said.get("chat", said.get("completion"))
        if chunk is None:
            return b""
        told = self._told
        for key in _TOLD_ONCE:
            if key in chunk:
                told[key] = chunk[key]
        return msgspec.json.encode({**told, **chunk})
