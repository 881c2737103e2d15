"""A worker's feed: the whole picture in order, then what changed; a database that is away delays, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from abyssal.gateway.link import Publish
from abyssal.node import feed as module
from abyssal.node.faults import StoreUnavailableError
from abyssal.node.feed import Feed
from abyssal.stores.snapshot import Entry, Snapshot


class Link:
    """Takes what is sent; `full` is a worker that does not read."""

    def __init__(self) -> None:
        self.sent: list[Snapshot] = []
        self.read = asyncio.Event()
        self.read.set()

    def send(self, message: Any) -> None:
        assert isinstance(message, Publish)
        self.sent.append(message.snapshot)

    async def drain(self) -> None:
        await self.read.wait()


class Pieces:
    """A database of `pages` pages whose newest version is `version`."""

    def __init__(self, pages: int = 2) -> None:
        self.version = 1
        self.pages = pages
        self.away = 0  # questions that fail
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away")

    async def begin(self) -> Snapshot:
        self._ask("begin")
        return Snapshot(self.version, whole=True, last=False)

    async def page(self, version: int, after: str) -> tuple[Snapshot, str]:
        self._ask(f"page {after}")
        number = int(after or 0) + 1
        return Snapshot(version, last=number == self.pages, entries=(Entry(b"%d" % number, b""),)), str(
            number
        )

    async def since(self, version: int) -> Snapshot | None:
        self._ask(f"since {version}")
        return Snapshot(self.version) if self.version > version else None


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def play(scenario: Callable[[Feed, Pieces, Link], Coroutine[Any, Any, None]], pages: int = 2) -> None:
    async def run() -> None:
        pieces, link = Pieces(pages), Link()
        feed = Feed(pieces, link)  # type: ignore[arg-type]
        task = asyncio.get_running_loop().create_task(feed.run())
        await settle()
        try:
            await scenario(feed, pieces, link)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0)


def test_first_everything_then_what_changed() -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        assert [(piece.whole, piece.last) for piece in link.sent] == [
            (True, False),
            (False, False),
            (False, True),
        ]
        feed.changed()
        await settle()
        assert len(link.sent) == 3, "nothing had changed"
        pieces.version = 5
        feed.changed()
        await settle()
        assert link.sent[3].version == 5
        assert pieces.asked[-1] == "since 1"

    play(scenario)


def test_a_worker_that_reads_slowly_is_not_flooded() -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        link.read.clear()
        pieces.version = 2
        feed.changed()
        await settle()
        before = len(link.sent)
        for version in range(3, 9):
            pieces.version = version
            feed.changed()
            await settle()
        assert len(link.sent) >= before
        link.read.set()
        await settle()
        assert link.sent[-1].version == 8

    play(scenario)


def test_a_database_that_is_away_is_asked_again_and_nothing_is_skipped() -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        pieces.away, pieces.version = 3, 9
        feed.changed()
        await settle()
        assert link.sent[-1].version == 9
        assert pieces.asked.count("since 1") == 4

    play(scenario)


def test_a_picture_that_was_cut_short_begins_anew() -> None:
    async def run() -> None:
        pieces, link = Pieces(3), Link()
        original = pieces.page

        async def page(version: int, after: str) -> tuple[Snapshot, str]:
            if after == "1" and not pieces.away and pieces.asked.count("begin") == 1:
                pieces.away = 1
            return await original(version, after)

        pieces.page = page  # type: ignore[method-assign]
        feed = Feed(pieces, link)  # type: ignore[arg-type]
        task = asyncio.get_running_loop().create_task(feed.run())
        await settle()
        assert [piece.whole for piece in link.sent] == [True, False, True, False, False, False]
        assert link.sent[-1].last
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_waiting_for_a_version() -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        waiting = asyncio.get_running_loop().create_task(feed.wait_applied(7))
        feed.took(6)
        await settle()
        assert not waiting.done()
        feed.took(8)
        await settle()
        assert waiting.done()

    play(scenario)


def test_a_fault_that_nobody_foresaw_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        original = pieces.since

        async def broken(version: int) -> Snapshot | None:
            pieces.since = original  # type: ignore[method-assign]
            raise KeyError("a row that should not be")

        pieces.since = broken  # type: ignore[method-assign]
        pieces.version = 4
        feed.changed()
        await settle()
        assert link.sent[-1].version == 4
        assert link.sent[3].whole, "it began anew"

    play(scenario)
    assert "beginning anew" in caplog.text


def test_a_database_that_was_set_back_is_told_anew() -> None:
    async def scenario(feed: Feed, pieces: Pieces, link: Link) -> None:
        async def set_back(version: int) -> Snapshot | None:
            return Snapshot(0, whole=True, last=False)

        pieces.since = set_back  # type: ignore[method-assign]
        pieces.version = 0
        feed.changed()
        await settle()
        assert [piece.version for piece in link.sent[3:]] == [0, 0, 0]
        assert (link.sent[3].whole, link.sent[-1].last) == (True, True)

    play(scenario)
