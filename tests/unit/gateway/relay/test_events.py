"""A stream on its way: whole events only, its end, its usage; the same however its bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abyssal.gateway.relay.events import DONE, Ending, EventStream
from abyssal.wire.official_stream import UsageFolder, whole_events

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(content: str = "a", finish: str | None = None, **extra: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices} | extra).encode()


SAID_DONE = b"data: [DONE]"
FINISH = chunk("", "stop")
WITH_USAGE = chunk("", "stop", usage=USAGE)
USAGE_CHUNK = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode()
ERROR = b'data: {"error": {"message": "out of memory"}}'


def stream(*events: bytes, end: bytes = b"\n\n") -> bytes:
    return b"".join(event + end for event in events)


class Seen:
    """What a client and the ledger get of a stream that came in `pieces`."""

    def __init__(self, pieces: list[bytes], folding: bool = False) -> None:
        self.stream = EventStream(UsageFolder() if folding else None)
        self.out = b""
        for piece in pieces:
            sent = self.stream.take(piece)
            assert sent == b"" or sent.endswith(b"\n"), "an event was cut"
            self.out += sent
        self.ending, rest = self.stream.end()
        self.out += rest

    @property
    def told(self) -> tuple[bytes, Ending, int, bool, Any]:
        stream = self.stream
        return self.out, self.ending, stream.count, stream.done, stream.usage()


ENDINGS: list[tuple[str, bytes, Ending, bytes]] = [
    ("official", stream(chunk(), WITH_USAGE, SAID_DONE), Ending.DONE, b""),
    ("CRLF", stream(chunk(), WITH_USAGE, SAID_DONE, end=b"\r\n\r\n"), Ending.DONE, b""),
    ("no blank behind data:", stream(chunk(), FINISH, b"data:[DONE]"), Ending.DONE, b""),
    ("[DONE] without its blank line", stream(chunk(), FINISH) + SAID_DONE, Ending.DONE, DONE),
    ("[DONE] and half a blank line", stream(chunk(), FINISH) + SAID_DONE + b"\n", Ending.DONE, DONE),
    ("[DONE] and most of another", stream(chunk(), FINISH, SAID_DONE) + SAID_DONE, Ending.DONE, b""),
    ("a comment behind [DONE]", stream(chunk(), FINISH, SAID_DONE, b": bye"), Ending.DONE, b""),
    ("no [DONE]", stream(chunk(), FINISH), Ending.FINISHED, DONE),
    ("no [DONE], CRLF", stream(chunk(), FINISH, end=b"\r\n\r\n"), Ending.FINISHED, DONE),
    (
        "no [DONE], usage and comments behind",
        stream(FINISH, USAGE_CHUNK, b": a", b": b", b": c"),
        Ending.FINISHED,
        DONE,
    ),
    ("nothing", b"", Ending.EARLY, b""),
    ("comments only", stream(b": keep-alive", b": keep-alive"), Ending.EARLY, b""),
    ("cut between events", stream(chunk(), chunk()), Ending.EARLY, b""),
    ("error event", stream(chunk(), ERROR), Ending.ERROR, b""),
    ("error event, then [DONE]", stream(chunk(), ERROR, SAID_DONE), Ending.ERROR, b""),
    ("error event, then a comment", stream(chunk(), ERROR, b": x"), Ending.ERROR, b""),
    ("error null is no error", stream(chunk(), chunk("", "stop", error=None), SAID_DONE), Ending.DONE, b""),
    ("an error that the stream got over", stream(ERROR, chunk(), FINISH, SAID_DONE), Ending.DONE, b""),
]


@pytest.mark.parametrize(
    ("data", "ending", "added"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS]
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_how_it_ended(data: bytes, ending: Ending, added: bytes, size: int) -> None:
    seen = Seen([data[at : at + size] for at in range(0, len(data), size)])
    assert seen.ending is ending
    assert seen.out == data[: whole_events(data)] + added


def test_the_end_of_an_event_that_was_cut_is_dropped() -> None:
    seen = Seen([stream(chunk("whole")) + chunk("half")[:20]])
    assert seen.out == stream(chunk("whole"))
    assert seen.ending is Ending.EARLY


@pytest.mark.parametrize(
    "said",
    [
        '"finish_reason":"stop"',
        "data: [DONE]",
        "\ndata: [DONE]\n\n",
        '{"error": {}}',
        '"usage":{"prompt_tokens":9}',
        "[DONE]",
    ],
)
def test_text_of_an_answer_is_not_mistaken(said: str) -> None:
    seen = Seen([stream(chunk(said))])
    assert seen.ending is Ending.EARLY
    assert seen.stream.usage() is None
    assert (seen.stream.count, seen.stream.done) == (1, False)


def test_done_is_known_with_the_piece_that_says_it() -> None:
    for end in (b"\n\n", b"\r\n\r\n"):
        events = EventStream(None)
        events.take(stream(chunk(), FINISH, end=end))
        assert not events.done
        assert events.take(stream(SAID_DONE, end=end))
        assert events.done


def test_usage_is_found_wherever_it_stood() -> None:
    for data in (
        stream(chunk(), WITH_USAGE, SAID_DONE),
        stream(chunk(), FINISH, USAGE_CHUNK, SAID_DONE),
        stream(WITH_USAGE, chunk("x", usage=None), chunk("y", usage=None), SAID_DONE),
        stream(chunk(), WITH_USAGE),
    ):
        seen = Seen([data[at : at + 50] for at in range(0, len(data), 50)])
        usage = seen.stream.usage()
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (3, 2)


def test_events_are_counted_without_done_and_comments() -> None:
    assert Seen([stream(b": x", chunk("data: data:"), chunk(), FINISH, SAID_DONE)]).stream.count == 3


def test_what_is_no_stream_of_events_is_not_hoarded() -> None:
    events, sent = EventStream(None), 0
    for _ in range(100):
        sent += len(events.take(b"x" * 16384))
    assert sent > 100 * 16384 - 600_000


def test_folding_moves_usage_and_keeps_the_ending() -> None:
    seen = Seen([stream(chunk(), FINISH, USAGE_CHUNK)], folding=True)
    assert seen.ending is Ending.FINISHED
    assert seen.out.endswith(DONE)
    assert b'"choices":[]' not in seen.out
    assert seen.stream.usage() is not None


events = st.sampled_from(
    [
        chunk(), chunk('"finish_reason":"x" data: [DONE]'), chunk("\ndata: [DONE]\n\n"), chunk("中"),
        FINISH, WITH_USAGE, USAGE_CHUNK, chunk("", None, usage=None), SAID_DONE, b"data:[DONE]", ERROR,
        b": keep-alive", b"event: x\ndata: 1", b"data: no JSON", b"retry: 5",
    ]
)  # fmt: skip
ends = st.sampled_from((b"\n\n", b"\r\n\r\n"))


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream's bytes, perhaps with half an event at its end, and the same bytes in pieces."""
    end = draw(ends)
    data = stream(*draw(st.lists(events, max_size=7)), end=end)
    if draw(st.booleans()):
        last = draw(events) + end
        data += last[: draw(st.integers(1, len(last)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    edges = [0, *cuts, len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(edges)]
    return data, [piece for piece in pieces if piece]


@settings(deadline=None, max_examples=250)
@given(arrivals(), st.booleans())
def test_however_a_stream_is_cut_the_client_and_the_ledger_get_the_same(
    arrival: tuple[bytes, list[bytes]], folding: bool
) -> None:
    data, pieces = arrival
    together = Seen([data] if data else [], folding)
    for cut in (pieces, [data[at : at + 1] for at in range(len(data))]):
        assert Seen(cut, folding).told == together.told
