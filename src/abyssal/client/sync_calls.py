"""The blocking shell around a call: send, wait, try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from abyssal.client.answer import Answer
from abyssal.client.core import Call, ClientCore
from abyssal.client.reading import may_be_stream
from abyssal.client.request import Request
from abyssal.client.transport import StreamedAnswer, Transport
from abyssal.wire.errors import AbyssalError, ConfigurationError

A = TypeVar("A", Answer, Answer | StreamedAnswer)


class Caller:
    """Makes calls over a transport. `sleep` takes seconds."""

    def __init__(self, core: ClientCore, transport: Transport, sleep: Callable[[float], None]) -> None:
        self.core = core
        self._transport = transport
        self._sleep = sleep
        self._closed = False

    def send(self, call: Call) -> Answer:
        """The good answer to `call`. Raises what the last attempt came to."""
        return self._attempt(call, self._transport.send)

    def open(self, call: Call) -> StreamedAnswer:
        """The stream that `call` asked for. Raises what the last attempt came to."""
        answer = self._attempt(call, self._open)
        if isinstance(answer, Answer):
            raise call.error_of_stream(answer)
        return answer

    def close(self) -> None:
        self._closed = True
        self._transport.close()

    def _attempt(self, call: Call, attempt: Callable[[Request], A]) -> A:
        while True:
            if self._closed:
                raise ConfigurationError("This client is closed; make a new one, or close it later.")
            try:
                answer = attempt(call.request())
                error = call.error_of(answer) if isinstance(answer, Answer) else None
                if error is None:
                    return answer
                raise error
            except AbyssalError as error:
                wait = call.seconds_until_retry(error)
                if wait is None:
                    raise
            self._sleep(wait)

    def _open(self, request: Request) -> Answer | StreamedAnswer:
        """The stream, or the whole of an answer that is none."""
        answer = self._transport.open(request)
        if may_be_stream(answer.status, answer.headers):
            return answer
        try:
            return Answer(answer.status, answer.headers, b"".join(iter(answer.read, b"")))
        finally:
            answer.close()
