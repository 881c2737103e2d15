"""Whatever a server sends: what the SDK reads it with says what is wrong, and never falls over."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key

from abyssal.client.lines import LineReader
from abyssal.client.reading import StreamReader
from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret, parse_base_url
from abyssal.client.sockets.frames import SocketFrames
from abyssal.client.sockets.reading import SocketReader
from abyssal.client.text_assembly import TEXT_STREAM
from abyssal.wire.conversations import decode_exported
from abyssal.wire.embeddings import decode_embeddings, floats_of
from abyssal.wire.errors import AbyssalError, ProtocolError

ENDPOINT = Endpoint("GET", parse_base_url("http://h/v1"), "/stream", {})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "type",
        "content",
        "finish_reason",
        "usage",
        "index",
        "tool_calls",
        "error",
        "event_id",
        "choices",
        "text",
    ]
)
MESSAGES = st.binary(max_size=60) | st.dictionaries(FIELDS, VALUES, max_size=4).map(msgspec.json.encode)


def upgrade_answer(request: bytes) -> bytes:
    """What a server says that opens a socket."""
    (key,) = re.findall(rb"sec-websocket-key: (\S+)\r\n", request)
    head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    return head + b"sec-websocket-accept: %b\r\n\r\n" % accept_key(key.decode()).encode()


@given(st.lists(MESSAGES, max_size=4))
def test_messages_of_a_socket(messages: list[bytes]) -> None:
    reader = SocketReader(Secret("sk-x"))
    for message in messages:
        reader.feed(message)
    assert reader.failure is None or reader.ended
    reader.completion()


@given(st.lists(st.binary(max_size=40), max_size=4), st.booleans())
def test_frames_of_a_socket(pieces: list[bytes], upgraded: bool) -> None:
    frames = SocketFrames(ENDPOINT)
    answer = upgrade_answer(frames.outgoing())
    if upgraded:
        assert frames.feed(answer) == []
        assert frames.opened
    for piece in pieces:
        if piece:
            frames.feed(piece)
            frames.outgoing()
    frames.feed(b"")
    assert isinstance(frames.fault(), AbyssalError)
    assert not frames.opened


@given(st.lists(MESSAGES, max_size=4))
def test_events_of_a_text(messages: list[bytes]) -> None:
    reader: Any = StreamReader(TEXT_STREAM, {}, Secret("sk-x"))
    for message in messages:
        reader.feed(b"data: " + message + b"\n\n")
    reader.feed(b"")
    assert reader.ended
    reader.completion()


@given(st.lists(MESSAGES, max_size=4))
def test_lines_of_an_export(messages: list[bytes]) -> None:
    reader = LineReader(decode_exported)
    try:
        for message in messages:
            reader.feed(message + b"\n")
        reader.feed(b"")
    except ProtocolError:
        pass


@given(MESSAGES)
def test_embeddings(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_embeddings(content)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=8))
def test_numbers_come_as_they_were_packed(numbers: list[float]) -> None:
    import base64
    import struct

    packed = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    assert floats_of(packed) == numbers
