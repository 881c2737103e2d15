"""Streamed completions, read by a blocking iterator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Generic, Self

from abyssal.client.core import Call
from abyssal.client.reading import C, StreamForm, StreamReader, W
from abyssal.client.resuming import Resumption, lost_for_good
from abyssal.client.sync_calls import Caller
from abyssal.client.transport import StreamedAnswer
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import AbyssalError, LocalError


class EventStream(Generic[C, W]):
    """The chunks of one answer, as they come, once. A context manager that closes the connection.

    Iterating raises the ApiError that the stream told of, ApiTimeoutError when nothing came for too long,
    StreamInterruptedError when it was cut, ProtocolError when it is no such stream.
    """

    def __init__(self, caller: Caller, call: Call, form: StreamForm[C, W], answer: StreamedAnswer) -> None:
        self._caller = caller
        self._call = call
        self._answer = answer
        self._reader = StreamReader(form, answer.headers, caller.core.secret, call.events)
        self._resumption = caller.core.resumption(call)
        self._ready: Iterator[C] = iter(())
        self._closed = False

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; names in lower case."""
        return self._answer.headers

    @property
    def request_id(self) -> str | None:
        """What the service calls this request, to be named when help is asked for."""
        return self._reader.request_id

    def completion_so_far(self) -> W:
        """The chunks that have come, put together; what has not come is missing."""
        return self._reader.completion()

    def get_final_completion(self) -> W:
        """Reads what is left; the whole completion, as a plain call would have given it.

        Raises as iterating does, and StreamInterruptedError when the stream was closed before its end.
        """
        for _ in self:
            pass
        return self._reader.final_completion()

    def close(self) -> None:
        """Cuts the connection, unless the answer came to its end. Any number of times.

        The service is told to stop a resumable answer, which would else go on for a while.
        """
        given_up, self._closed = not self._closed and not self._reader.ended, True
        self._answer.close()
        if given_up and self._resumption is not None and self._reader.last_id:
            try:
                self._caller.send(self._caller.core.given_up(self._call, self._reader.last_id))
            except AbyssalError:
                pass  # it was a courtesy

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        chunk = next(self._ready, None)
        return chunk if chunk is not None else self._read_on()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_on(self) -> C:
        reader = self._reader
        while not reader.ended and not self._closed:
            try:
                data = self._answer.read()
            except LocalError as error:
                reader.feed_fault(error)
            except BaseException:
                reader.feed_stop()
                self._answer.close()
                raise
            else:
                self._ready = iter(reader.feed(data))
            if reader.ended:
                self._answer.close(drain=reader.failure is None)
                if reader.cut and self._resumption is not None:
                    self._resume(self._resumption)
            chunk = next(self._ready, None)
            if chunk is not None:
                return chunk
        if reader.failure is not None:
            raise reader.failure
        raise StopIteration

    def _resume(self, resumption: Resumption) -> None:
        """Asks for the rest of a stream that was cut, by the rules of `resuming`."""
        reader, caller, core = self._reader, self._caller, self._caller.core
        cut = reader.failure
        wait = resumption.seconds_until_next(reader.last_id, core.clock.monotonic(), core.dice)
        if cut is None or wait is None:
            return
        try:
            if wait:
                caller.sleep(wait)
            self._answer = caller.open(core.resumed(self._call, reader.last_id))
        except AbyssalError as error:
            reader.failure = lost_for_good(cut, error)
        else:
            reader.go_on()


class ChatStream(EventStream[ChatCompletionChunk, ChatCompletion]):
    """The chunks of a chat completion, as they come, once; see EventStream."""
