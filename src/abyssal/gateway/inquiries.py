"""Questions to the control process, over the link. It knows no topic: bytes go, bytes or an error come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec

from abyssal.gateway.link import Ask, Told
from abyssal.wire.errors import ApiError, ErrorBody, UnavailableError, error_for_status

_MOST_WAITING = 10_000
_error = msgspec.json.Decoder(ErrorBody)


class Inquiries:
    """See the module. `tell` sends a message; answers come back through `told`."""

    def __init__(self, tell: Callable[[Ask], None], loop: asyncio.AbstractEventLoop) -> None:
        self._tell = tell
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
        self._tell(Ask(number, topic, body))
        return answer

    def told(self, message: Told) -> None:
        """An answer came."""
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
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_nobody_answers())
        self._waiting.clear()


def _error_of(message: Told) -> ApiError:
    error = _error.decode(message.body).error
    return error_for_status(message.status)(
        error.message, param=error.param, code=error.code, status=message.status
    )


def _nobody_answers() -> UnavailableError:
    return UnavailableError("The control process cannot be asked now; try again shortly.", retry_after=1)
