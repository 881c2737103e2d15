"""Worker processes: spawned with their sockets, told the news, replaced when they die."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from abyssal.gateway.link import (
    Applied,
    Ask,
    Assembly,
    Claim,
    Drain,
    FromWorker,
    Gauges,
    LinkProtocol,
    Serving,
    Setup,
    Thought,
    Told,
    ToWorker,
    in_pieces,
)
from abyssal.node.feed import Feed, Pieces

_log = logging.getLogger("abyssal.node")

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds before a dead worker is replaced
_STEADY = 30.0  # seconds of life after which the wait starts over


class WorkerProcess:
    """One place for a worker; whoever dies in it is replaced.

    `setup_for` makes a Setup for a writer, `ended` hears of a writer that is gone, `shared` of what the other
    workers are to know too.
    """

    def __init__(
        self,
        index: int,
        listening: socket.socket,
        *,
        setup_for: Callable[[str, int], Setup],
        news: Callable[[], list[ToWorker]],
        pieces: Pieces,
        claimed: Callable[[Claim], ToWorker],
        answer: Callable[[Ask], Awaitable[Told]],
        ended: Callable[[str], Awaitable[None]],
        shared: Callable[[int, Thought], None],
        environ: Mapping[str, str],
    ) -> None:
        self.index = index
        self.writer = ""
        self.gauges: Gauges | None = None
        self.serving = asyncio.Event()
        self._listening = listening
        self._setup_for = setup_for
        self._news = news
        self._pieces = pieces
        self._claimed = claimed
        self._answer = answer
        self._ended = ended
        self._shared = shared
        self._answering: set[asyncio.Task[None]] = set()
        self._asked = Assembly()
        self._environ = environ
        self.feed: Feed | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._link: LinkProtocol | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process at work, None between two."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Spawn the first process and keep the place filled from now on."""
        await self._spawn()
        self._task = asyncio.get_running_loop().create_task(self._keep_running())

    def send(self, message: ToWorker) -> None:
        """Tell the process at work."""
        if self._link is not None:
            self._link.send(message)

    def offer(self, message: ToWorker) -> None:
        """Tell the process at work what it can do without, unless it is slow to read."""
        if self._link is not None:
            self._link.offer(message)

    async def drain(self, grace: float) -> None:
        """Let calls at work end within `grace` seconds; then the process goes, by itself or killed."""
        self._stopping = True
        self.send(Drain(grace))
        if self._task is not None:
            try:
                async with asyncio.timeout(grace + 5):
                    await asyncio.shield(self._task)
            except TimeoutError:
                self.kill()
                await self._task
        if self._link is not None:
            self._link.close()

    def kill(self) -> None:
        """End the process at once."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _spawn(self) -> None:
        mine, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "abyssal.gateway.worker",
                "--link", str(theirs.fileno()), "--listen", str(self._listening.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env=self._environ,
                pass_fds=(theirs.fileno(), self._listening.fileno()),
            )  # fmt: skip
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        mine.setblocking(False)
        self.writer = f"{secrets.token_hex(6)}w{self.index}"
        link = LinkProtocol(FromWorker, self._received, lambda: None)
        await asyncio.get_running_loop().create_connection(lambda: link, sock=mine)
        self._link, self._asked = link, Assembly()
        link.send(self._setup_for(self.writer, self.index))
        for message in self._news():
            link.send(message)
        self.feed = Feed(self._pieces, link)
        self._feeding = asyncio.get_running_loop().create_task(self.feed.run())

    def _received(self, message: Any) -> None:
        match message:
            case Serving():
                self.serving.set()
            case Applied(version=version):
                if self.feed is not None:
                    self.feed.took(version)
            case Claim():
                self.send(self._claimed(message))
            case Thought():
                self._shared(self.index, message)
            case Ask():
                question = self._asked.put(message)
                if question is not None:
                    task = asyncio.get_running_loop().create_task(self._answer_to(question))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
            case _:
                self.gauges = message

    async def _answer_to(self, question: Ask) -> None:
        link, writer = self._link, self.writer
        for piece in in_pieces(await self._answer(question)):
            if writer != self.writer or link is None:
                return  # who asked is gone
            link.send(piece)
            await link.drain()

    async def _stop_feeding(self) -> None:
        feeding, self._feeding, self.feed = self._feeding, None, None
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        while True:
            assert self._process is not None
            began = loop.time()
            code = await self._process.wait()
            self.serving.clear()
            gone, self.writer, self.gauges, self._process = self.writer, "", None, None
            await self._stop_feeding()
            if self._link is not None:
                self._link.close()
                self._link = None
            await self._ended(gone)
            if self._stopping:
                return
            wait = _FIRST_WAIT if loop.time() - began > _STEADY else min(wait * 2, _LONGEST_WAIT)
            _log.error("worker %d ended with code %s; the next starts in %g s", self.index, code, wait)
            await asyncio.sleep(wait)
            if self._stopping:
                return
            await self._spawn()
            if self._stopping:
                self.kill()  # it was told to drain before there was anything to tell
