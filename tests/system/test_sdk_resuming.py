"""Streams of the SDK that lose their line to a running server and go on, over HTTP and over WebSocket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from abyssal import AsyncDeepSeekClient, DeepSeekClient, StreamInterruptedError
from abyssal.client.core import WireFormat
from abyssal.testing import Answer

from .calls import Gateway

WORDS = [f"{number} " for number in range(30)]
HI = [{"role": "user", "content": "Hi"}]


class Line:
    """What is between a client and the server: it forwards, until it is cut; then new connections are good."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._there)
            self.connections += 1
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=_forward, args=(one, other)))
                self._threads[-1].start()


def _forward(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


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
