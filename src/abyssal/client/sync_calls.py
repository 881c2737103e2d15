"""The blocking shell around a call: send, wait, try again."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from abyssal.client.answer import Answer
from abyssal.client.core import Call, ClientCore
from abyssal.client.reading import may_be_stream
from abyssal.client.request import Request
from abyssal.client.transport import StreamedAnswer, Transport
from abyssal.wire.errors import AbyssalError, ApiTimeoutError, ConfigurationError

if TYPE_CHECKING:  # loaded when a way to prove who one is needs it
    from abyssal.client.credentials.fetching import Fetching

A = TypeVar("A")


class Caller:
    """Makes calls over a transport. `sleep` takes seconds."""

    def __init__(self, core: ClientCore, transport: Transport, sleep: Callable[[float], None]) -> None:
        self.core = core
        self._transport = transport
        self.sleep = sleep
        self._closed = False

    def with_core(self, core: ClientCore) -> Caller:
        """Another one over the same transport."""
        return Caller(core, self._transport, self.sleep)

    def send(self, call: Call) -> Answer:
        """The good answer to `call`. Raises what the last attempt came to."""
        return call.in_json(self.attempt(call, self._transport.send))

    def open(self, call: Call) -> StreamedAnswer:
        """The stream that `call` asked for. Raises what the last attempt came to."""
        answer = self.attempt(call, self._open)
        if isinstance(answer, Answer):
            raise call.error_of_stream(answer)
        return answer

    def close(self) -> None:
        self._closed = True
        self._transport.close()

    def attempt(self, call: Call, attempt: Callable[[Request], A]) -> A:
        """What `attempt` gives, made as often as it may help. An Answer it gives may stand for an error."""
        fetching = call.fetching
        while True:
            if self._closed:
                raise ConfigurationError("This client is closed; make a new one, or close it later.")
            try:
                if fetching is not None:
                    self._await_token(fetching, call)
                answer = attempt(call.request())
                error = call.error_of(answer) if isinstance(answer, Answer) else None
                if error is None:
                    return answer
                raise error
            except AbyssalError as error:
                wait = call.seconds_until_retry(error)
                if wait is None:
                    raise
            self.sleep(wait)

    def _await_token(self, fetching: Fetching, call: Call) -> None:
        """Until there is a token, by the rules of `credentials.fetching`. Raises why there is none."""
        from abyssal.client.credentials.fetching import Move

        clock = self.core.clock
        while not fetching.is_fresh(clock.unix_ns()):
            outcome: SimpleQueue[AbyssalError | None] = SimpleQueue()
            move = fetching.join(clock.unix_ns(), outcome.put)
            if move is Move.FETCH:
                self._fetch(fetching, call)
            if move is not Move.WAIT:
                return
            try:
                failure = outcome.get(timeout=call.seconds_left())
            except Empty:
                raise ApiTimeoutError(
                    "No access token had come when the call's total time was over; allow more with timeout=."
                ) from None
            finally:
                fetching.leave(outcome.put)
            if failure is not None:
                raise failure

    def _fetch(self, fetching: Fetching, call: Call) -> None:
        clock = self.core.clock
        asked_at = clock.unix_ns()
        try:
            fetching.take(self._transport.send(call.fetch_request(fetching)), asked_at)
        except AbyssalError as error:
            if fetching.give_up(error, clock.unix_ns()):
                raise
        except BaseException:
            fetching.give_up(None, clock.unix_ns())
            raise

    def _open(self, request: Request) -> Answer | StreamedAnswer:
        """The stream, or the whole of an answer that is none."""
        answer = self._transport.open(request)
        if may_be_stream(answer.status, answer.headers):
            return answer
        try:
            return Answer(answer.status, answer.headers, b"".join(iter(answer.read, b"")))
        finally:
            answer.close()
