"""Questions to the control process, over the link. It knows no topic: bytes go, bytes or an error come.

Long ones go and come in pieces, each when the link has room: what else travels on it gets between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import msgspec

from abyssal.gateway.link import Ask, Assembly, Told, in_pieces
from abyssal.wire.errors import ApiError, ErrorBody, UnavailableError, error_for_status

_MOST_WAITING = 10_000
_error = msgspec.json.Decoder(ErrorBody)


class Inquiries:
    """See the module. `tell` sends a message, `room` waits until the link has room for more.

    Answers come back through `told`.
    """

    def __init__(
        self,
        tell: Callable[[Ask], None],
        loop: asyncio.AbstractEventLoop,
        room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._tell = tell
        self._room = room
        self._coming = Assembly()
        self._sending: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._closed = False

    def ask(self, topic: str, body: bytes) -> asyncio.Future[bytes]:
        """The answer to `body`. Its exception is the ApiError that the service raised.

        Raises UnavailableError when too many questions are open, or the worker is going.
        """
        if self._closed or len(self._waiting) >= _MOST_WAITING:
            raise _nobody_answers()
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = answer
        first, *rest = in_pieces(Ask(number, topic, body))
        self._tell(first)
        if rest:
            task = self._loop.create_task(self._send(rest))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return answer

    async def _send(self, rest: list[Ask]) -> None:
        for piece in rest:
            if self._room is not None:
                await self._room()
            self._tell(piece)

    def told(self, message: Told) -> None:
        """An answer came, or a piece of one."""
        whole = self._coming.put(message)
        if whole is None:
            return
        message = whole
        answer = self._waiting.pop(message.number, None)
        if answer is None or answer.done():
            return
        if message.status == 200:
            answer.set_result(message.body)
        else:
            answer.set_exception(_error_of(message))

    def close(self) -> None:
        """Nobody will answer any more."""
        self._closed = True
        for task in self._sending:
            task.cancel()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_nobody_answers())
        self._waiting.clear()


def _error_of(message: Told) -> ApiError:
    error = _error.decode(message.body).error
    return error_for_status(message.status)(
        error.message,
        param=error.param,
        code=error.code,
        status=message.status,
        retry_after=1 if message.status in (409, 503) else None,
    )


def _nobody_answers() -> UnavailableError:
    return UnavailableError("The control process cannot be asked now; try again shortly.", retry_after=1)
