"""Resumable streams of clients that accept compression, and of those that read Protobuf."""

from __future__ import annotations

import gzip
import json

import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, chunk
from tests.unit.gateway.stage import Stage

from abyssal.wire.protobuf import CHAT, StreamReader, encode_request

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
RESUMABLE = b"x-abyssal-resumable: 1\r\n"
TYPE = b"Content-Type: application/x-protobuf\r\n"


def test_who_accepts_compression_can_resume(stage: Stage) -> None:
    client = stage.client().send(chat(BODY, headers=RESUMABLE + b"Accept-Encoding: gzip\r\n"))
    server = stage.server.last.begin_stream().stream(chunk("one"), chunk("two"))
    (begun,) = client.answers()
    first = begun.body.partition(b"\n")[0].removeprefix(b"id: ")
    client.leave()
    server.stream(LAST, DONE).end_stream()
    headers = b"Accept-Encoding: gzip\r\nLast-Event-ID: %b\r\n" % first
    answer = stage.client().send(chat(b"", headers=headers)).answer()
    assert answer.header("content-encoding") is None
    assert [b"one" in answer.body, b"two" in answer.body, b"[DONE]" in answer.body] == [False, True, True]


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_stream_of_messages_can_be_resumed(stage: Stage, coding: str) -> None:
    data, headers = encode_request(CHAT, BODY), RESUMABLE + TYPE
    if coding:
        data, headers = gzip.compress(data), headers + b"Content-Encoding: gzip\r\n"
    client = stage.client().send(chat(data, headers=headers))
    server = stage.server.last.begin_stream().stream(chunk("one"), chunk("two"))
    (begun,) = client.answers()
    assert begun.header("content-type") == "application/x-protobuf"
    assert begun.header("x-abyssal-event-id") is not None
    first, second = StreamReader().feed(begun.body)
    assert first.id.rpartition(".")[2] == "1"
    client.leave()
    server.stream(LAST, DONE).end_stream()
    resumed = headers + b"Last-Event-ID: %b\r\n" % first.id.encode()
    answer = stage.client().send(chat(b"nothing to look at", headers=resumed)).answer()
    events = StreamReader().feed(answer.body)
    assert events[0] == second
    assert [json.loads(event.data)["id"] for event in events[:-1]] == ["x", "x"]
    assert events[-1].data == b"[DONE]"
