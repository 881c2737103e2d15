"""One face for both clients, blocking and asyncio, over both transports, used in the same words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from abyssal import AsyncDeepSeekClient, ChatCompletion, ChatCompletionChunk, DeepSeekClient
from abyssal.client.direct_async import AsyncDirectTransport
from abyssal.client.direct_sync import DirectTransport
from abyssal.client.pyreqwest_async import AsyncPyreqwestTransport
from abyssal.client.pyreqwest_sync import PyreqwestTransport
from abyssal.client.settings import parse_base_url
from abyssal.testing import ManualClock

KEY = "sk-test-0123456789abcdef"
ASK: dict[str, Any] = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hi"}]}
WAYS = ["sync-direct", "async-direct", "sync-pyreqwest", "async-pyreqwest"]


class Face:
    """A client of either kind over a transport of either kind, used in the same blocking words."""

    def __init__(self, way: str, url: str, **options: Any) -> None:
        self.kind, _, way = way.partition("-")
        self.clock = ManualClock()
        self.sleeps: list[float] = []
        base = parse_base_url(url)
        pool_size = options.pop("pool_size", 4)
        seams = {"_clock": self.clock, "_dice": lambda: 0.5, "api_key": KEY, **options}
        self._runner = asyncio.Runner()
        if self.kind == "sync":
            way_to = {"direct": DirectTransport, "pyreqwest": PyreqwestTransport}[way]
            self.client: Any = DeepSeekClient(
                base_url=url, transport=way_to(base, pool_size), _sleep=self._sleep, **seams
            )
        else:
            way_there = {"direct": AsyncDirectTransport, "pyreqwest": AsyncPyreqwestTransport}[way]
            self.client = AsyncDeepSeekClient(
                base_url=url, transport=way_there(base, pool_size), _sleep=self._sleep_async, **seams
            )

    def run(self, result: Any) -> Any:
        """`result`, waited for if it must be."""
        return self._runner.run(_awaited(result)) if self.kind == "async" else result

    def create(self, **params: Any) -> ChatCompletion:
        return self.run(self.client.chat.completions.create(**(ASK | params)))

    def open(self, **params: Any) -> Any:
        return self.run(self.client.chat.completions.create(**(ASK | params), stream=True))

    def next(self, opened: Any) -> ChatCompletionChunk:
        return next(opened) if self.kind == "sync" else self.run(anext(opened))

    def final(self, opened: Any) -> ChatCompletion:
        return self.run(opened.get_final_completion())

    def texts(self, opened: Any) -> list[str | None]:
        async def all_of_them() -> list[ChatCompletionChunk]:
            return [one async for one in opened]

        chunks = list(opened) if self.kind == "sync" else self.run(all_of_them())
        return [one.choices[0].delta.content for one in chunks]

    def close(self, closable: Any) -> None:
        self.run(closable.close() if self.kind == "sync" else closable.aclose())

    def shut(self) -> None:
        self.close(self.client)
        self._runner.close()

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.clock.advance(seconds)

    async def _sleep_async(self, seconds: float) -> None:
        self._sleep(seconds)


async def _awaited(result: Any) -> Any:
    return await result


@contextmanager
def opened_face(way: str, url: str, **options: Any) -> Iterator[Face]:
    face = Face(way, url, **options)
    try:
        yield face
    finally:
        face.shut()
