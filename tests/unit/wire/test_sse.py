"""Server-sent events, by the rules at the head of `abyssal.wire.sse`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from abyssal.wire.errors import ProtocolError
from abyssal.wire.sse import Event, EventDecoder


def events(*pieces: bytes) -> list[Event]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def data(*pieces: bytes) -> list[bytes]:
    return [event.data for event in events(*pieces)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\r", [b"a"]),
        (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [b"a", b"b", b"c"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": keep-alive\n\n: another\ndata: a\n: within\ndata: b\n\n", [b"a\nb"]),
        (b":\n\n", []),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"data\ndata\n\n", [b"\n"]),
        (b"data: a:b: c\n\n", [b"a:b: c"]),
        (b"dat: a\nDATA: b\n data: c\n\n", []),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
        ("data: über 深\n\n".encode(), ["über 深".encode()]),
    ],
)
def test_data(stream: bytes, expected: list[bytes]) -> None:
    assert data(stream) == expected


def test_a_second_byte_order_mark_is_part_of_a_line() -> None:
    assert data(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [b"b"]


def test_type_holds_for_one_event() -> None:
    stream = b"event: error\ndata: a\n\ndata: b\n\nevent: left\n\ndata: c\n\nevent\ndata: d\n\n"
    assert [event.type for event in events(stream)] == ["error", "message", "message", "message"]


def test_id_stays_until_another_and_not_with_a_nul() -> None:
    stream = b"id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n"
    assert [event.id for event in events(stream)] == ["1", "1", "1", ""]


def test_retry_is_digits_only() -> None:
    decoder = EventDecoder()
    decoder.feed(b"retry: 250\n\nretry: 1.5\n\nretry: -1\n\n")
    assert decoder.retry == 250


def test_text_replaces_what_is_not_utf8() -> None:
    assert events(b"data: a\xff\n\n")[0].text == "a\N{REPLACEMENT CHARACTER}"


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert [event.data for event in decoder.feed(b"\r")] == [b"a"]
    assert decoder.feed(b"\ndata: b\n") == []
    assert [event.data for event in decoder.feed(b"\n")] == [b"b"]


def test_finish_shows_what_was_cut_off() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n\ndata: [DONE]") != []
    assert decoder.finish() == Event(b"[DONE]")
    assert decoder.finish() is None


def test_an_endless_event_is_refused_and_many_short_ones_are_not() -> None:
    decoder = EventDecoder(max_event_bytes=1000)
    for _ in range(1000):
        decoder.feed(b"data: short\n\n: and")
        decoder.feed(b" a comment\n")
    for _ in range(80):
        decoder.feed(b"data: more\n")
    with pytest.raises(ProtocolError, match="1000 bytes"):
        decoder.feed(b"data: " + b"x" * 200)


LINES = st.sampled_from(
    [
        *(b"data: x", b"data:", b"data", b": c", b"event: error", b"id: 7"),
        *(b"", b"", b"y" * 50, "data: 深海".encode()),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    st.lists(st.tuples(LINES, ENDS), max_size=25),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=20),
)
@example([(b"data: x", b"\r\n"), (b"", b"\r\n")], True, [1, 2, 11, 13])
def test_any_cut_gives_the_same_events(lines: list[tuple[bytes, bytes]], bom: bool, cuts: list[int]) -> None:
    stream = b"\xef\xbb\xbf" * bom + b"".join(line + end for line, end in lines)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert events(*pieces) == events(stream)
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == events(stream)


@given(st.lists(st.binary(max_size=40).map(lambda value: value.translate(None, b"\r\n")), max_size=10))
def test_what_was_written_is_read(values: list[bytes]) -> None:
    assert data(b"".join(b"data: " + value + b"\n\n" for value in values)) == values


@given(st.binary(max_size=200))
def test_no_bytes_break_it(stream: bytes) -> None:
    events(stream)
