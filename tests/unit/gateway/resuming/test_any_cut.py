"""Wherever a stream is cut, and however often: what was read and what was resumed are the stream that was not cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.messages import DONE, LAST, chunk, read_answer
from tests.unit.gateway.stage import Stage, stages

from .streams import end, request, resume

SAID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/beta/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/text/generate": {"prompt": "hi"},
    "/anthropic/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/v1/responses": {"input": "hi"},
}


def asked(path: str) -> bytes:
    said = json.dumps({"model": "m", "stream": True} | SAID[path]).encode()
    return request(path, said, headers=b"x-abyssal-resumable: 1\r\n")


def got(data: bytes) -> tuple[str, bytes]:
    """The last id that a client knows that has read `data`, and the whole events in it; ("", b"") before any."""
    if b"\r\n\r\n" not in data:
        return "", b""
    data = _without_half_a_chunk(data)
    answer, _ = read_answer(data, True)
    assert answer.status == 200
    whole = answer.body[: answer.body.rfind(b"\n\n") + 2] if b"\n\n" in answer.body else b""
    lines = [line for line in whole.split(b"\n") if line.startswith(b"id: ")]
    return (lines[-1][4:].decode() if lines else answer.header("x-abyssal-event-id") or ""), whole


def _without_half_a_chunk(data: bytes) -> bytes:
    """Chunked bytes, with the chunk that is cut made one of what is there of it."""
    head, _, rest = data.partition(b"\r\n\r\n")
    out = [head, b"\r\n\r\n"]
    while rest:
        size, line_end, after = rest.partition(b"\r\n")
        if not line_end:
            break
        length = int(size, 16)
        piece, rest = after[:length], after[length + 2 :]
        out.append(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"0\r\n\r\n")
    return b"".join(out)


CUT = st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(["leave", "reset"]))


@pytest.mark.parametrize("path", SAID)
@given(st.lists(st.sampled_from(["a", "bc", "d" * 300, "é"]), max_size=6), st.lists(CUT, max_size=4))
def test_nothing_is_lost_and_nothing_comes_twice(
    path: str, texts: list[str], cuts: list[tuple[float, int, str]]
) -> None:
    with stages() as make:
        stage: Stage = make(kind="deepseek")
        client = stage.client().send(asked(path))
        server = stage.server.last.begin_stream()
        events = [chunk(text) for text in texts]
        read = b""
        for share, more, how in cuts:
            for event in events[:more]:
                server.stream(event)
            del events[:more]
            start = client.bytes.index(b"\r\n\r\n") + 4
            event_id, whole = got(client.bytes[: start + int(share * (len(client.bytes) - start))])
            read += whole
            getattr(client, how)()
            client = resume(stage, event_id, path)
        for event in events:
            server.stream(event)
        end(server)
        read += client.answer().body
        uncut = stage.client().send(asked(path))
        other = stage.server.last.begin_stream()
        other.stream(*[chunk(text) for text in texts], LAST, DONE).end_stream()
        assert _comparable(read) == _comparable(uncut.answer().body)


def _comparable(stream: bytes) -> list[bytes]:
    """The events, with the numbers of their ids alone, and without what each answer has of its own."""
    events: list[bytes] = []
    for number, event in enumerate(stream.split(b"\n\n")[:-1], 1):
        line, _, rest = event.partition(b"\n")
        assert line.startswith(b"id: ")
        assert line.endswith(b".%d" % number)
        before, _, data = rest.partition(b"data: ")
        events.append(before + (data if data == b"[DONE]" else json.dumps(_still(json.loads(data))).encode()))
    return events


def _still(value: Any) -> Any:
    """Without ids and times that are drawn anew for each answer."""
    if isinstance(value, dict):
        drawn = ("id", "item_id", "created", "created_at", "completed_at")
        return {key: _still(inner) for key, inner in value.items() if key not in drawn}
    return [_still(inner) for inner in value] if isinstance(value, list) else value
