"""Streams of the SDK that lose their line to a running server and go on, over HTTP and over WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from abyssal import AsyncDeepSeekClient, DeepSeekClient, StreamInterruptedError
from abyssal.client.core import WireFormat
from abyssal.testing import Answer

from .calls import Gateway
from .line import Line

WORDS = [f"{number} " for number in range(30)]
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def line(gateway: Gateway) -> Iterator[Line]:
    line = Line(gateway.server.url)
    yield line
    line.close()


@pytest.mark.parametrize("wire_format", ["json", "protobuf"])
def test_chat(gateway: Gateway, line: Line, wire_format: WireFormat) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(WORDS, every=0.01))
    with DeepSeekClient(gateway.server.api_key, base_url=line.url, wire_format=wire_format) as client:
        stream = client.chat.completions.create(model="open", messages=HI, stream=True, resumable=True)
        got: list[str] = []
        for chunk in stream:
            got.append(chunk.choices[0].delta.content or "")
            if len(got) in (3, 12):
                line.cut()
        assert "".join(got) == "".join(WORDS)
        assert stream.get_final_completion().choices[0].message.content == "".join(WORDS)
    assert line.connections == 3
    assert gateway.upstream.requests[-1].answered.is_set()


def test_text_asynchronously(gateway: Gateway, line: Line) -> None:
    async def main() -> str:
        async with AsyncDeepSeekClient(gateway.server.api_key, base_url=line.url) as client:
            stream = await client.text.complete("Hi", model="open", stream=True, resumable=True)
            got: list[str] = []
            async for chunk in stream:
                got.append(chunk.text)
                if len(got) == 3:
                    line.cut()
            return "".join(got)

    gateway.upstream.enqueue(Answer.chat_stream(WORDS, every=0.01))
    assert asyncio.run(main()) == "".join(WORDS)
    assert line.connections == 2


def test_websocket(gateway: Gateway, line: Line) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(WORDS, every=0.01))
    with DeepSeekClient(gateway.server.api_key, base_url=line.url) as client:
        stream = client.stream("Hi", model="open", resumable=True)
        got: list[str] = []
        for piece in stream:
            got.append(piece.content)
            if len(got) in (3, 12):
                line.cut()
        assert "".join(got) == "".join(WORDS) == stream.reply().content
    assert line.connections == 3


def test_websocket_asynchronously(gateway: Gateway, line: Line) -> None:
    async def main() -> str:
        async with AsyncDeepSeekClient(gateway.server.api_key, base_url=line.url) as client:
            stream = await client.stream("Hi", model="open", resumable=True)
            got: list[str] = []
            async for piece in stream:
                got.append(piece.content)
                if len(got) == 3:
                    line.cut()
            return "".join(got)

    gateway.upstream.enqueue(Answer.chat_stream(WORDS, every=0.01))
    assert asyncio.run(main()) == "".join(WORDS)


@pytest.mark.parametrize("way", ["http", "websocket"])
def test_closing_stops_the_upstream_although_the_answer_is_resumable(gateway: Gateway, way: str) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.05))
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        if way == "http":
            with client.chat.completions.create(
                model="open", messages=HI, stream=True, resumable=True
            ) as stream:
                next(stream)
        else:
            with client.stream("Hi", model="open", resumable=True) as socket_stream:
                next(socket_stream)
        assert gateway.upstream.requests[-1].closed_by_peer.wait(5)


def test_a_stream_that_was_not_asked_for_as_resumable(gateway: Gateway, line: Line) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(WORDS, every=0.05))
    with DeepSeekClient(gateway.server.api_key, base_url=line.url) as client:
        stream = client.chat.completions.create(model="open", messages=HI, stream=True)
        next(stream)
        line.cut()
        with pytest.raises(StreamInterruptedError):
            stream.get_final_completion()
