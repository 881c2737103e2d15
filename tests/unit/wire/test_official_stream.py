"""Streams of OpenAI-style servers are made official, however their bytes arrive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abyssal.wire.official_stream import UsageFolder, split_events, whole_events

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = b"data: [DONE]"


def chunk(content: str | None = None, finish: str | None = None, index: int = 0, **extra: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    choices = [{"index": index, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "choices": choices} | extra).encode()


def usage_chunk(usage: Any = USAGE) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": [], "usage": usage}).encode()


def stream(*events: bytes, end: bytes = b"\n\n") -> bytes:
    return b"".join(event + end for event in events)


def folded(data: bytes) -> bytes:
    folder = UsageFolder()
    return folder.feed(data) + folder.end()


def chunks_of(data: bytes) -> list[Any]:
    lines = [line[5:].strip() for line in data.splitlines() if line.startswith(b"data:")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def test_usage_lands_on_the_finishing_chunk() -> None:
    out = chunks_of(folded(stream(chunk("a"), chunk(finish="stop"), usage_chunk(), DONE)))
    assert len(out) == 3
    assert out[1]["choices"][0]["finish_reason"] == "stop"
    assert out[1]["usage"] == USAGE
    assert "usage" not in out[0]
    assert out[2] == "[DONE]"


def test_null_usage_before_it_is_replaced() -> None:
    out = chunks_of(
        folded(stream(chunk("a", usage=None), chunk(finish="stop", usage=None), usage_chunk(), DONE))
    )
    assert [part["usage"] for part in out[:2]] == [None, USAGE]


def test_of_several_choices_the_last_to_finish_gets_it() -> None:
    events = [chunk("a"), chunk("b", index=1), chunk(finish="stop"), chunk("c", index=1)]
    out = chunks_of(folded(stream(*events, chunk(finish="length", index=1), usage_chunk(), DONE)))
    assert [part["choices"][0]["index"] for part in out[:-1]] == [0, 1, 0, 1, 1]
    assert [part for part in out[:-1] if "usage" in part] == [out[4]]
    assert out[4]["usage"] == USAGE


def test_an_official_stream_is_not_touched() -> None:
    data = stream(b": keep-alive", chunk("a"), chunk(finish="stop", usage=USAGE), DONE)
    assert folded(data) == data


def test_without_usage_nothing_is_lost() -> None:
    data = stream(chunk("a"), chunk(finish="stop"), DONE)
    assert chunks_of(folded(data)) == chunks_of(data)


def test_without_an_end_the_held_chunk_is_not_lost() -> None:
    data = stream(chunk("a"), chunk(finish="stop"))
    assert chunks_of(folded(data)) == chunks_of(data)


def test_a_usage_chunk_that_nothing_finished_before_passes() -> None:
    data = stream(chunk("a"), usage_chunk(), chunk(finish="stop"), DONE)
    assert chunks_of(folded(data)) == chunks_of(data)


def test_a_comment_after_the_finishing_chunk_does_not_part_it_from_its_usage() -> None:
    out = folded(stream(chunk(finish="stop"), b": ping", usage_chunk(), DONE))
    assert chunks_of(out)[0]["usage"] == USAGE
    assert b": ping\n\n" in out


def test_an_error_after_the_finishing_chunk_keeps_the_order() -> None:
    error = b'data: {"error":{"message":"gone"}}'
    assert chunks_of(folded(stream(chunk(finish="stop"), error)))[1] == {"error": {"message": "gone"}}


@pytest.mark.parametrize(
    "said",
    [
        '"finish_reason":"stop"',
        '{"finish_reason": "stop"}',
        "data: [DONE]\n\n",
        '","usage":{"prompt_tokens":1}',
        "\n\n",
    ],
)
def test_text_of_an_answer_is_not_mistaken(said: str) -> None:
    data = stream(chunk(said), chunk(said))
    folder = UsageFolder()
    assert folder.feed(data) == data, "held back, though nothing is finished"
    assert folder.end() == b""


def test_a_folder_may_change_the_usage_that_it_folds() -> None:
    class Doubling(UsageFolder):
        def fold(self, usage: Any) -> Any:
            return {"prompt_tokens": json.loads(bytes(usage))["prompt_tokens"] * 2}

    folder = Doubling()
    out = folder.feed(stream(chunk(finish="stop"), usage_chunk()))
    assert chunks_of(out)[0]["usage"] == {"prompt_tokens": 6}


lines = st.sampled_from(
    [
        chunk("a"),
        chunk('"finish_reason":"stop"'),
        chunk("data: [DONE]"),
        chunk("\n\n"),
        chunk("中"),
        chunk(finish="stop"),
        chunk(finish="stop", usage=None),
        chunk(finish="stop", usage=USAGE),
        chunk(finish="length", index=1),
        usage_chunk(),
        usage_chunk(None),
        b": keep-alive",
        b"event: x\ndata: {}",
        b": note\ndata: {}",
        b"data: not JSON",
        b'data: {"error":{"message":"x"}}',
        DONE,
    ]
)
ends = st.sampled_from((b"\n\n", b"\r\n\r\n", b"\n\r\n"))
streams = st.lists(st.tuples(lines, ends), max_size=8).map(
    lambda parts: b"".join(line.replace(b"\n", end[: len(end) // 2]) + end for line, end in parts)
)


@settings(deadline=None, max_examples=250)
@given(streams, st.data())
def test_any_cut_between_events_gives_the_same_bytes(data: bytes, draw: st.DataObject) -> None:
    folder, out = UsageFolder(), b""
    events = split_events(data)
    while events:
        many = draw.draw(st.integers(1, len(events)))
        out += folder.feed(b"".join(events[:many]))
        del events[:many]
    assert out + folder.end() == folded(data)


@settings(deadline=None, max_examples=250)
@given(streams)
def test_every_event_but_folded_usage_comes_out_in_order(data: bytes) -> None:
    def bare(events: bytes) -> list[bytes]:
        found = [event.strip() for event in split_events(events) if not event.startswith(b": keep-alive")]
        plain = [json.loads(event[5:]) if event.startswith(b"data: {") else event for event in found]
        kept = [
            {key: value for key, value in event.items() if key != "usage"}
            if isinstance(event, dict)
            else event
            for event in plain
        ]
        return [json.dumps(event).encode() if isinstance(event, dict) else event for event in kept]

    alone = json.dumps({"id": "c", "choices": []}).encode()
    before, after = bare(data), bare(folded(data))
    assert [event for event in before if event != alone] == [event for event in after if event != alone]
    assert len(before) >= len(after)


@settings(deadline=None, max_examples=200)
@given(streams, st.binary(max_size=6).filter(lambda tail: b"\n" not in tail))
def test_whole_events_are_found_and_split(data: bytes, tail: bytes) -> None:
    assert whole_events(data + tail) == len(data)
    assert b"".join(split_events(data)) == data
    assert all(whole_events(event) == len(event) for event in split_events(data))


@pytest.mark.parametrize("data", [b"", b"data: x", b"data: x\n", b"data: x\r\n", b"data: x\r\n\r", b"\n"])
def test_what_is_not_a_whole_event_yet(data: bytes) -> None:
    assert whole_events(data) == 0
