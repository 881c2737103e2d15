"""Nonces that the workers of one node share: its control process keeps them and is asked over the link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from abyssal.gateway.auth.nonces import Verdict

_MOST_WAITING = 10_000


class NodeNonces:
    """See the module. `ask` sends a question; the answer comes back through `answered`."""

    def __init__(self, ask: Callable[[int, bytes, int], None], loop: asyncio.AbstractEventLoop) -> None:
        self._ask = ask
        self._loop = loop
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Verdict]] = {}

    def claim(self, nonce: bytes, until: int, now_ns: int) -> Verdict | asyncio.Future[Verdict]:
        """Set if absent; FULL when too many questions are open."""
        if len(self._waiting) >= _MOST_WAITING:
            return Verdict.FULL
        number = next(self._numbers)
        answer: asyncio.Future[Verdict] = self._loop.create_future()
        self._waiting[number] = answer
        self._ask(number, nonce, until)
        return answer

    def answered(self, number: int, verdict: str) -> None:
        """The store's answer."""
        answer = self._waiting.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_result(Verdict(verdict))

    def close(self) -> None:
        """The node is gone, or this worker is going: nobody will answer."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(Verdict.DOWN)
        self._waiting.clear()
