"""Calls whose bodies travel as Protobuf (`wire_format="protobuf"`): the same calls, in another spelling.

What goes out was JSON and becomes a message; what comes back becomes JSON, and is read as ever. Answers of
another content type, such as a proxy's error page, are left as they are.
"""

from __future__ import annotations

from abyssal.client.answer import Answer
from abyssal.wire.protobuf import (
    CONTENT_TYPE,
    FORMATS,
    StreamReader,
    decode_answer,
    decode_error,
    encode_request,
)
from abyssal.wire.sse import Event

HEADERS = {"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE}
_TYPES = frozenset({CONTENT_TYPE, "application/protobuf"})


class ProtobufCodec:
    """The messages of one kind of call; `form` is its name in `wire.protobuf`."""

    __slots__ = ("_form",)

    def __init__(self, form: str) -> None:
        self._form = FORMATS[form]

    def request(self, body: bytes) -> bytes:
        """A request's message. Raises BadRequestError when `body` is no JSON object."""
        return encode_request(self._form, body)

    def answer(self, answer: Answer) -> Answer:
        """A whole answer as it would have come in JSON. Raises ProtocolError when it is no such message."""
        if answer.headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
            return answer
        good = 200 <= answer.status < 300
        content = decode_answer(self._form, answer.content) if good else decode_error(answer.content)
        return Answer(answer.status, {**answer.headers, "content-type": "application/json"}, content)

    def decoder(self) -> ProtobufEvents:
        """What takes a stream's bytes apart."""
        return ProtobufEvents()


class ProtobufEvents:
    """A stream's events, as `wire.sse.EventDecoder` gives them."""

    __slots__ = ("_reader",)

    def __init__(self) -> None:
        self._reader = StreamReader()

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in `data`. Raises ProtocolError."""
        return self._reader.feed(data)

    def finish(self) -> Event | None:
        """Nothing: what is unfinished when the bytes end is no event."""
        return None
