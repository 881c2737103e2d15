"""The asyncio shell around a call: send, wait, try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from abyssal.client.answer import Answer
from abyssal.client.core import Call, ClientCore
from abyssal.client.reading import may_be_stream
from abyssal.client.request import Request
from abyssal.client.transport import AsyncStreamedAnswer, AsyncTransport
from abyssal.wire.errors import AbyssalError, ApiTimeoutError, ConfigurationError

if TYPE_CHECKING:  # loaded when a way to prove who one is needs it
    from abyssal.client.credentials.fetching import Fetching

A = TypeVar("A")


class AsyncCaller:
    """Makes calls over a transport. `sleep` takes seconds."""

    def __init__(
        self, core: ClientCore, transport: AsyncTransport, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.core = core
        self._transport = transport
        self.sleep = sleep
        self._closed = False

    def with_core(self, core: ClientCore) -> AsyncCaller:
        """Another one over the same transport."""
        return AsyncCaller(core, self._transport, self.sleep)

    async def send(self, call: Call) -> Answer:
        """The good answer to `call`. Raises what the last attempt came to."""
        return call.in_json(await self.attempt(call, self._transport.send))

    async def open(self, call: Call) -> AsyncStreamedAnswer:
        """The stream that `call` asked for. Raises what the last attempt came to."""
        answer = await self.attempt(call, self._open)
        if isinstance(answer, Answer):
            raise call.error_of_stream(answer)
        return answer

    async def aclose(self) -> None:
        self._closed = True
        await self._transport.aclose()

    async def attempt(self, call: Call, attempt: Callable[[Request], Awaitable[A]]) -> A:
        """What `attempt` gives, made as often as it may help. An Answer it gives may stand for an error."""
        fetching = call.fetching
        while True:
            if self._closed:
                raise ConfigurationError("This client is closed; make a new one, or close it later.")
            try:
                if fetching is not None:
                    await self._await_token(fetching, call)
                answer = await attempt(call.request())
                error = call.error_of(answer) if isinstance(answer, Answer) else None
                if error is None:
                    return answer
                raise error
            except AbyssalError as error:
                wait = call.seconds_until_retry(error)
                if wait is None:
                    raise
            await self.sleep(wait)

    async def _await_token(self, fetching: Fetching, call: Call) -> None:
        """Until there is a token, by the rules of `credentials.fetching`. Raises why there is none."""
        from abyssal.client.credentials.fetching import Move

        clock = self.core.clock
        while not fetching.is_fresh(clock.unix_ns()):
            outcome = _Outcome()
            move = fetching.join(clock.unix_ns(), outcome.put)
            if move is Move.FETCH:
                await self._fetch(fetching, call)
            if move is not Move.WAIT:
                return
            try:
                failure = await asyncio.wait_for(outcome.future, call.seconds_left())
            except TimeoutError:
                raise ApiTimeoutError(
                    "No access token had come when the call's total time was over; allow more with timeout=."
                ) from None
            finally:
                fetching.leave(outcome.put)
            if failure is not None:
                raise failure

    async def _fetch(self, fetching: Fetching, call: Call) -> None:
        clock = self.core.clock
        asked_at = clock.unix_ns()
        try:
            fetching.take(await self._transport.send(call.fetch_request(fetching)), asked_at)
        except AbyssalError as error:
            if fetching.give_up(error, clock.unix_ns()):
                raise
        except BaseException:
            fetching.give_up(None, clock.unix_ns())
            raise

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


class _Outcome:
    """What came of another one's fetch. That one may run in another thread and another event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[AbyssalError | None] = self._loop.create_future()

    def put(self, failure: AbyssalError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._set, failure)
        except RuntimeError:
            pass  # the loop has ended, and who waited in it with it

    def _set(self, failure: AbyssalError | None) -> None:
        if not self.future.done():
            self.future.set_result(failure)
