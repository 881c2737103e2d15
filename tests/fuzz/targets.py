"""What is fuzzed: each target takes any bytes and raises when a parser breaks its promise.

1. A parser of a stream reads the same however its bytes are cut.
2. What a client sends is taken or refused by an ApiError of the four hundreds; nothing else is raised.
3. What is taken is read the same by another JSON parser (`wire.guard`).

A target knows no fuzzer: `test_corpus` and the long hunt call the same functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from itertools import pairwise

from websockets.frames import Frame
from websockets.streams import StreamReader

from abyssal.gateway.dialects.anthropic import AnthropicMessages
from abyssal.gateway.dialects.completions import Completions
from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.dialects.responses import Responses
from abyssal.gateway.dialects.sockets.messages import read_credential, read_message, words_of
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front.reader import RequestReader
from abyssal.gateway.front.websocket_frames import left_after, only_message
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.content_coding import Inflater
from abyssal.wire.errors import ApiError, ProtocolError
from abyssal.wire.protobuf import (
    FORMATS,
    FrameDecoder,
    WireError,
    decode_answer,
    decode_error,
    decode_request,
    encode_request,
)
from abyssal.wire.sse import Event, EventDecoder

Target = Callable[[bytes], None]


def sse(data: bytes) -> None:
    """Events are the same for every way to cut them; the first byte says how."""
    if not data:
        return
    size, stream = data[0] % 7 + 1, data[1:]

    def events(step: int) -> list[Event] | None:
        decoder, found = EventDecoder(max_event_bytes=1 << 20), []
        try:
            for at in range(0, len(stream), step):
                found += decoder.feed(stream[at : at + step])
        except ProtocolError:
            return None
        last = decoder.finish()
        return [*found, last] if last is not None else found

    assert events(size) == events(max(1, len(stream))), "a cut changed the events"


def chat_request(data: bytes) -> None:
    """A chat request is refused, or means the same to another parser."""
    try:
        request = parse_chat_request(data)
    except ApiError as error:
        _is_the_client_s_fault(error)
        return
    theirs = json.loads(data)
    assert theirs["model"] == request.model
    assert bool(theirs.get("stream")) is bool(request.stream)
    assert len(theirs["messages"]) == len(request.messages)


def _is_the_client_s_fault(error: ApiError) -> None:
    assert 400 <= error.status_code < 500, error


def _reads(dialect: Dialect) -> Target:
    def target(data: bytes) -> None:
        try:
            reading = dialect.read(data)
        except ApiError as error:
            _is_the_client_s_fault(error)
            return
        try:
            parse_chat_request(reading.body)
        except ApiError as error:
            _is_the_client_s_fault(error)

    return target


def socket_message(data: bytes) -> None:
    """A message on a socket is one of ours, or refused."""
    try:
        message = read_message(data)
        if message.type == "auth":
            words, credential = read_credential(message.fields)
            assert credential.startswith(b"Bearer ")
            assert words is not None
        else:
            words_of(message, None)
    except ApiError as error:
        _is_the_client_s_fault(error)


def websocket_frames(data: bytes) -> None:
    """What is read at once is what the library reads, and where frames end is the same for every cut."""
    at_once = only_message(data)
    if at_once is not None:
        reader = StreamReader()
        reader.feed_data(data)
        assert _parsed(Frame.parse(reader.read_exact, mask=True)) == at_once
    whole, left = left_after(0, data), 0
    for start, end in pairwise([0, len(data) // 2, len(data)]):
        left = left_after(left, data[start:end])
    assert left is None or whole is None or left == whole


def _parsed(parsing: Generator[None, None, Frame]) -> bytes | None:
    """The payload of a frame, None while the library wants more."""
    try:
        next(parsing)
    except StopIteration as end:
        return bytes(end.value.data)
    return None


class _Sink:
    """Notes what a reader tells."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def took(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        self.told.append((exchange.head.method, exchange.head.target, exchange.body, keep_alive, http10))

    def offered(self, exchange: Exchange, upgrade: bytes) -> bool:
        return False

    def passed_over(self, data: bytes) -> None: ...
    def progressed(self) -> None: ...
    def expected(self) -> None: ...

    def refused(self, error: ApiError) -> None:
        assert error.status_code < 506, error
        self.told.append("refused")


def http_head(data: bytes) -> None:
    """Requests are the same for every way to cut them; the first byte says how."""
    if not data:
        return
    size, stream = data[0] % 11 + 1, data[1:]

    def requests(step: int) -> list[object]:
        sink = _Sink()
        reader = RequestReader(sink, sink, max_body=4096, next_id=lambda: "id")  # type: ignore[arg-type]
        for at in range(0, len(stream), step):
            if not reader.failed:
                reader.feed(stream[at : at + step], at_rest=True)
        return sink.told

    assert requests(size) == requests(max(1, len(stream))), "a cut changed the requests"


def protobuf_request(data: bytes) -> None:
    """A request is refused, or is JSON that comes back the same from Protobuf; the first byte says which."""
    if not data:
        return
    form = [*FORMATS.values()][data[0] % len(FORMATS)]
    try:
        body = decode_request(form, data[1:])
    except ApiError as error:
        _is_the_client_s_fault(error)
        return
    again = decode_request(form, encode_request(form, body))
    assert json.loads(again) == json.loads(body), "what was read does not survive being written"


def protobuf_answer(data: bytes) -> None:
    """An answer or an error is JSON, or not of the protocol; the first byte says which."""
    if not data:
        return
    form = [*FORMATS.values()][data[0] % len(FORMATS)]
    for read in (lambda: decode_answer(form, data[1:]), lambda: decode_error(data[1:])):
        try:
            body = read()
        except ProtocolError:
            continue
        assert isinstance(json.loads(body), dict)


def protobuf_frames(data: bytes) -> None:
    """Messages are the same for every way to cut a stream; the first byte says how."""
    if not data:
        return
    size, stream = data[0] % 7 + 1, data[1:]

    def messages(step: int) -> list[bytes] | None:
        decoder, found = FrameDecoder(max_message_bytes=1 << 16), []
        try:
            for at in range(0, len(stream), step):
                found += decoder.feed(stream[at : at + step])
        except WireError:
            return None
        return found

    assert messages(size) == messages(max(1, len(stream))), "a cut changed the messages"


def content_coding(data: bytes) -> None:
    """A body is inflated within the limit, the same in any steps, or refused; the first bytes say which and how."""
    if len(data) < 2:
        return
    coding, step, body = (b"gzip", b"deflate", b"zstd")[data[0] % 3], data[1] + 1, data[2:]

    def inflated(step: int) -> bytes | None:
        inflater = Inflater(coding, body, 4096)
        try:
            while not inflater.run(step):
                pass
        except ApiError as error:
            _is_the_client_s_fault(error)
            return None
        return inflater.body()

    once = inflated(4096)
    assert once is None or len(once) <= 4096
    assert inflated(step) == once, "a step changed the body"


TARGETS: Mapping[str, Target] = {
    "sse": sse,
    "chat_request": chat_request,
    "anthropic": _reads(AnthropicMessages(frozenset({"m"}))),
    "responses": _reads(Responses()),
    "completions": _reads(Completions()),
    "socket_message": socket_message,
    "websocket_frames": websocket_frames,
    "http_head": http_head,
    "protobuf_request": protobuf_request,
    "protobuf_answer": protobuf_answer,
    "protobuf_frames": protobuf_frames,
    "content_coding": content_coding,
}
