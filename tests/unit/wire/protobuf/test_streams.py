"""Streams: cut anywhere, the same events; what is told once; ends, errors and lines kept open."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.errors import ProtocolError
from abyssal.wire.protobuf import (
    CHAT,
    COMPLETIONS,
    KEEP_ALIVE,
    FrameDecoder,
    StreamReader,
    StreamWriter,
    WireError,
)
from abyssal.wire.protobuf.framing import frame
from abyssal.wire.sse import Event

HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "m"}
DELTAS = [{"role": "assistant", "reasoning_content": ""}, {"content": "你好"}, {"content": ""}, {}]
CHUNKS = [
    Event(json.dumps({**HEAD, "choices": [{"index": 0, "delta": delta}]}, ensure_ascii=False).encode())
    for delta in DELTAS
]
DONE = Event(b"[DONE]")


def test_a_stream_comes_back_however_it_is_cut() -> None:
    writer = StreamWriter(CHAT)
    data = b"".join(writer.write(event) + KEEP_ALIVE for event in [*CHUNKS, DONE])
    expected = [json.loads(event.data) for event in CHUNKS]
    for size in (1, 2, 7, len(data)):
        reader = StreamReader()
        events = [
            event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])
        ]
        assert [json.loads(event.data) for event in events[:-1]] == expected
        assert events[-1].data == b"[DONE]"
        assert (reader.ended, reader.midway) == (True, False)


def test_what_stays_is_told_once() -> None:
    writer = StreamWriter(CHAT)
    first, second = writer.write(CHUNKS[1]), writer.write(CHUNKS[1])
    assert b"c-1" in first
    assert b"c-1" not in second
    assert len(second) == 11 + len("你好".encode())
    other = Event(CHUNKS[1].data.replace(b"c-1", b"c-2"))
    assert b"c-2" in writer.write(other)


def test_events_keep_their_ids() -> None:
    writer, reader = StreamWriter(CHAT), StreamReader()
    (event,) = reader.feed(writer.write(Event(CHUNKS[0].data, id="r-1:5")))
    assert event.id == "r-1:5"


def test_an_error_ends_a_stream() -> None:
    error = {"error": {"message": "broke", "type": "upstream_error", "code": "upstream_broken"}}
    data = StreamWriter(COMPLETIONS).write(Event(json.dumps(error).encode()))
    reader = StreamReader()
    (event,) = reader.feed(data)
    assert json.loads(event.data) == error
    assert reader.ended


def test_a_text_completion_s_stream() -> None:
    body = {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "a"}]}
    writer, reader = StreamWriter(COMPLETIONS), StreamReader()
    (event,) = reader.feed(writer.write(Event(json.dumps(body).encode())))
    assert json.loads(event.data) == body


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b'{"id":'])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        StreamWriter(CHAT).write(Event(data))


@pytest.mark.parametrize("data", [frame(b"\x0b"), frame(b"\x08\x01"), b"\xff" * 6, b"\xff\xff\xff\xff\x0f"])
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        StreamReader().feed(data)


def test_unknown_events_are_passed_over() -> None:
    assert StreamReader().feed(frame(b"\x4a\x01x")) == []


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_frames_however_they_are_cut(messages: list[bytes], sizes: list[int]) -> None:
    data = b"".join(map(frame, messages))
    decoder, got, place, turn = FrameDecoder(), [], 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        got += decoder.feed(data[place : place + size])
        place, turn = place + size, turn + 1
    assert got == messages
    assert not decoder.midway


def test_a_length_over_the_limit_is_refused_before_anything_is_held() -> None:
    decoder = FrameDecoder(max_message_bytes=1000)
    assert decoder.feed(frame(bytes(1000))) == [bytes(1000)]
    with pytest.raises(WireError, match="1001 bytes"):
        decoder.feed(b"\xe9\x07")
    with pytest.raises(WireError, match="five bytes"):
        FrameDecoder().feed(b"\x80" * 5)
    assert FrameDecoder().feed(b"\x80" * 4) == []
