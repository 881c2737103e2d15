"""A streamed answer's bytes, read: chunks out, and how it ended. Pure; the shells feed it.

Rules:
 1. Each event's data is a chunk, until `[DONE]`. Comments and unknown event types are passed over.
 2. An event of type `error`, or one whose data is an error object, ends the stream with that error.
 3. An end without `[DONE]` is an end if every choice has its `finish_reason`; else the stream was cut.
 4. A stream that was cut may be resumed (`go_on`): half an event is dropped, since it comes again.
 5. Chunks that came before a failure are handed out before the failure is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from abyssal.client import faults
from abyssal.client.resuming import FIRST_ID
from abyssal.client.settings import Secret
from abyssal.wire.errors import (
    AbyssalError,
    ApiError,
    ApiTimeoutError,
    InternalServerError,
    ProtocolError,
    StreamInterruptedError,
)
from abyssal.wire.sse import Event, EventDecoder


class _Chunk(Protocol):
    @property
    def choices(self) -> Sequence[object]: ...


C = TypeVar("C", bound=_Chunk)
W = TypeVar("W")
_Added = TypeVar("_Added", contravariant=True)
_Whole = TypeVar("_Whole", covariant=True)


class Assembly(Protocol[_Added, _Whole]):
    """A whole out of chunks."""

    @property
    def finished(self) -> bool: ...
    def add(self, chunk: _Added, /) -> None: ...
    def completion(self, request_id: str | None = None) -> _Whole: ...


class Events(Protocol):
    """Takes a stream's bytes apart."""

    def feed(self, data: bytes) -> list[Event]: ...
    def finish(self) -> Event | None: ...


class StreamForm(NamedTuple, Generic[C, W]):
    """What a stream's events are, and what they amount to."""

    name: str
    decode: Callable[[bytes], C]
    """Raises msgspec.DecodeError."""
    assembly: Callable[[], Assembly[C, W]]


def may_be_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer that begins like this may be a stream of events; its content type may be missing."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return 200 <= status < 300 and kind not in ("application/json", "text/html")


class StreamReader(Generic[C, W]):
    """Reads one streamed answer. `headers` are the answer's, `secret` is kept out of errors, `decoder` makes
    what takes the bytes apart.

    `ended` turns true with the last event; `failure` is then what to raise, None after a good end. `last_id`
    is the id of the last event, "" without one; after a cut (`cut`) a stream may go on behind it.
    """

    __slots__ = (
        "_assembly", "_decoder", "_form", "_headers", "_new_decoder", "_secret",
        "cut", "ended", "failure", "last_id",
    )  # fmt: skip

    def __init__(
        self,
        form: StreamForm[C, W],
        headers: Mapping[str, str],
        secret: Secret,
        decoder: Callable[[], Events] = EventDecoder,
    ) -> None:
        self._form = form
        self._new_decoder = decoder
        self._headers = headers
        self._secret = secret
        self._decoder = self._new_decoder()
        self._assembly = form.assembly()
        self.ended = False
        self.cut = False
        self.failure: AbyssalError | None = None
        self.last_id = headers.get(FIRST_ID, "")

    @property
    def request_id(self) -> str | None:
        return faults.request_id_of(self._headers)

    def feed(self, data: bytes) -> list[C]:
        """The chunks that end in `data`; b"" is the end of all bytes. Look at `ended` and `failure` then."""
        chunks: list[C] = []
        if self.ended:
            return chunks
        if not data:
            self._feed_end()
        add = self._assembly.add
        decode = self._form.decode
        try:
            for event in self._decoder.feed(data):
                if event.id:
                    self.last_id = event.id
                if event.type != "message":
                    if event.type != "error":
                        continue
                    self._fail(self._told_error(event.data) or InternalServerError(event.text or "no reason"))
                    break
                if event.data == b"[DONE]":
                    self.ended = True
                    break
                chunk = decode(event.data)
                if not chunk.choices and (error := self._told_error(event.data)) is not None:
                    self._fail(error)
                    break
                add(chunk)
                chunks.append(chunk)
        except ProtocolError as error:
            self._fail(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._fail(
                faults.OpenAICompatibilityError(f"An event of the stream is no {self._form.name}: {error}.")
            )
        return chunks

    def feed_fault(self, error: AbyssalError) -> None:
        """The connection failed. A timeout stays one; anything else means that the stream was cut."""
        self.cut = not isinstance(error, ProtocolError)
        if isinstance(error, ApiTimeoutError):
            self._fail(error)
        else:
            self._fail(_interrupted(str(error)))

    def go_on(self) -> None:
        """The stream was resumed: what comes now follows the event with `last_id`."""
        self._decoder = self._new_decoder()
        self.ended = self.cut = False
        self.failure = None

    def feed_stop(self) -> None:
        """Nobody will read on: a signal or a cancellation came in between."""
        self._fail(_interrupted("reading it was interrupted"))

    def completion(self) -> W:
        """What has come so far, as one completion."""
        return self._assembly.completion(self.request_id)

    def final_completion(self) -> W:
        """The whole completion. Raises StreamInterruptedError when the end has not come."""
        if not self.ended:
            raise _interrupted("it was closed")
        return self.completion()

    def _feed_end(self) -> None:
        left = self._decoder.finish()
        if self._assembly.finished or (left is not None and left.data == b"[DONE]"):
            self.ended = True
        else:
            self.cut = True
            self._fail(_interrupted("it ended"))

    def _told_error(self, data: bytes) -> ApiError | None:
        return faults.error_in_event(data, self.request_id, self._secret)

    def _fail(self, error: AbyssalError) -> None:
        self.ended = True
        self.failure = error


def _interrupted(how: str) -> StreamInterruptedError:
    return StreamInterruptedError(
        f"The stream was cut before [DONE]: {how.rstrip('.')}. What came so far is in its "
        "completion_so_far(); a stream goes on by itself with resumable=True, where the service can."
    )
