"""The asyncio shell around a call: send, wait, try again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from abyssal.client.answer import Answer
from abyssal.client.core import Call, ClientCore
from abyssal.client.reading import may_be_stream
from abyssal.client.request import Request
from abyssal.client.transport import AsyncStreamedAnswer, AsyncTransport
from abyssal.wire.errors import AbyssalError, ConfigurationError

A = TypeVar("A", Answer, Answer | AsyncStreamedAnswer)


class AsyncCaller:
    """Makes calls over a transport. `sleep` takes seconds."""

    def __init__(
        self, core: ClientCore, transport: AsyncTransport, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.core = core
        self._transport = transport
        self._sleep = sleep
        self._closed = False

    async def send(self, call: Call) -> Answer:
        """The good answer to `call`. Raises what the last attempt came to."""
        return await self._attempt(call, self._transport.send)

    async def open(self, call: Call) -> AsyncStreamedAnswer:
        """The stream that `call` asked for. Raises what the last attempt came to."""
        answer = await self._attempt(call, self._open)
        if isinstance(answer, Answer):
            raise call.error_of_stream(answer)
        return answer

    async def aclose(self) -> None:
        self._closed = True
        await self._transport.aclose()

    async def _attempt(self, call: Call, attempt: Callable[[Request], Awaitable[A]]) -> A:
        while True:
            if self._closed:
                raise ConfigurationError("This client is closed; make a new one, or close it later.")
            try:
                answer = await attempt(call.request())
                error = call.error_of(answer) if isinstance(answer, Answer) else None
                if error is None:
                    return answer
                raise error
            except AbyssalError as error:
                wait = call.seconds_until_retry(error)
                if wait is None:
                    raise
            await self._sleep(wait)

    async def _open(self, request: Request) -> Answer | AsyncStreamedAnswer:
        """The stream, or the whole of an answer that is none."""
        answer = await self._transport.open(request)
        if may_be_stream(answer.status, answer.headers):
            return answer
        try:
            parts: list[bytes] = []
            while part := await answer.read():
                parts.append(part)
            return Answer(answer.status, answer.headers, b"".join(parts))
        finally:
            await answer.aclose()
