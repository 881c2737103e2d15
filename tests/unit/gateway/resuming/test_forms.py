"""How ids are written into events and messages, and that nothing else about them changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.sockets.messages import frame
from abyssal.gateway.dialects.sockets.numbered import NumberedMessages
from abyssal.gateway.resuming.event_id import EventId, parse_event_id, stem
from abyssal.gateway.resuming.form import ServerSentEvents
from abyssal.wire.sse import EventDecoder

TOKEN = b"AbCdEfGhIjKlMnOpQrSt-_"
SSE, MESSAGES = ServerSentEvents(), NumberedMessages()


def test_an_id_names_worker_stream_and_place() -> None:
    assert stem(3, TOKEN) + b"17" == b"3.AbCdEfGhIjKlMnOpQrSt-_.17"
    assert parse_event_id(b"3.AbCdEfGhIjKlMnOpQrSt-_.17") == EventId(3, TOKEN, 17)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"17",
        b"3." + TOKEN,
        b"3." + TOKEN + b".",
        b"3." + TOKEN + b".-1",
        b"3." + TOKEN + b".017",
        b"03." + TOKEN + b".17",
        b"3." + TOKEN + b".17\n",
        b"3." + TOKEN[:-1] + b".17",
        b"3." + TOKEN + b"A.17",
        b"3." + TOKEN[:-1] + b"=.17",
        b"3." + TOKEN + b"." + b"9" * 10,
        b"3." + TOKEN + ".١٧".encode(),
        b"99999." + TOKEN + b".17",
    ],
)
def test_it_is_written_in_one_way_only(value: bytes) -> None:
    assert parse_event_id(value) is None


def numbered(data: bytes) -> bytes:
    events, _ = SSE.split(data)
    return b"".join(SSE.numbered(event, b"%d" % at) for at, event in enumerate(events, 1))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"data: a\n\n", b"id: 1\ndata: a\n\n"),
        (b"data: a\n\ndata: b\n\n", b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"),
        (b"event: e\ndata: a\n\n", b"id: 1\nevent: e\ndata: a\n\n"),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", b"id: 1\ndata: a\r\n\r\nid: 2\ndata: b\r\n\r\n"),
        (b": c\n\ndata: a\n\n", b"id: 1\ndata: a\n\n"),
        (b": c\ndata: a\n\n", b"id: 1\n: c\ndata: a\n\n"),
        (b"id: 9\ndata: a\n\n", b"id: 1\ndata: a\n\n"),
        (b"data: a\nid: 9\nid\n\n", b"id: 1\ndata: a\n\n"),
        (b"data: a\nidea: 9\n\n", b"id: 1\ndata: a\nidea: 9\n\n"),
        (b"", b""),
    ],
)
def test_server_sent_events(data: bytes, wanted: bytes) -> None:
    assert numbered(data) == wanted


def test_comments_are_told_apart() -> None:
    assert SSE.split(b": a\n\ndata: b\n\n: c\n\n") == ([b"data: b\n\n"], b": a\n\n: c\n\n")


@pytest.mark.parametrize("data", [b"data: a", b"data: a\n", b"data: a\n\ndata: b\n"])
def test_half_an_event_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="half"):
        SSE.split(data)


LINE = st.sampled_from([b"data: x", b"data:", b"event: e", b"id: 9", b"id", b"retry: 3", b": c", b"nonsense"])
EVENT = st.tuples(st.lists(LINE, min_size=1, max_size=4), st.sampled_from([b"\n", b"\r\n"])).map(
    lambda event: event[1].join([*event[0], b"", b""])
)


@given(st.lists(EVENT, max_size=6))
def test_a_decoder_finds_the_same_events_each_with_its_number(events: list[bytes]) -> None:
    data = b"".join(events)
    before, after = EventDecoder().feed(data), EventDecoder().feed(numbered(data))
    assert [(event.data, event.type) for event in after] == [(event.data, event.type) for event in before]
    numbers = [int(event.id) for event in after]
    assert numbers == sorted(set(numbers))


def test_messages_get_their_id_at_the_end() -> None:
    events, rest = MESSAGES.split(frame(b'{"a":1}') + frame(b'{"b":"}"}'))
    assert (events, rest) == ([b'{"a":1}', b'{"b":"}"}'], b"")
    assert MESSAGES.numbered(events[0], b"x.1") == frame(b'{"a":1,"event_id":"x.1"}')


def test_a_comment_is_no_message() -> None:
    assert MESSAGES.split(b": keep-alive\n\n") == ([], b"")


SIZES = st.sampled_from([0, 1, 50, 100, 115, 116, 117, 200, 65_500, 65_530, 70_000])


@given(st.lists(SIZES, max_size=4), st.data())
def test_frames_of_any_length_are_told_apart_wherever_they_are_cut(
    sizes: list[int], data: st.DataObject
) -> None:
    messages = [json.dumps({"n": at, "x": "y" * size}).encode() for at, size in enumerate(sizes)]
    frames = [frame(message) for message in messages]
    whole = b"".join(frames)
    assert MESSAGES.split(whole)[0] == messages
    cut = data.draw(st.integers(0, len(whole)))
    got = MESSAGES.whole(whole[:cut])
    assert MESSAGES.split(whole[:got])[0] == messages[: len(MESSAGES.split(whole[:got])[0])]
    assert got <= cut < got + len((*frames, b"?" * 9)[len(MESSAGES.split(whole[:got])[0])])
    if got < cut:
        with pytest.raises(ValueError, match="half"):
            MESSAGES.split(whole[:cut])
