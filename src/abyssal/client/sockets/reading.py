"""One answer's messages, read: pieces out, and how it ended. Pure; the shells feed it.

Rules:
 1. Each message but the last adds to the answer: `content` and what stands beside it, under the names of a
    streamed chat completion. Messages of kinds that are not known are passed over.
 2. A message of type `done` or `complete`, or one without a type that has a `finish_reason`, is the last one.
 3. One of type `error` ends the answer with that error; `retry_after` is in seconds.
 4. A socket that closes before the last message was cut. A resumable answer may go on then (`go_on`); that it
    is not there any more is told as an error, and means that it was cut for good.
"""

from __future__ import annotations

import msgspec

from abyssal.client import faults
from abyssal.client.assembly import CompletionAssembly
from abyssal.client.history import Piece, Reply, piece_of, reply_of
from abyssal.client.resuming import lost_for_good
from abyssal.client.settings import Secret
from abyssal.wire.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    Logprobs,
    ToolCallDelta,
    Usage,
)
from abyssal.wire.errors import (
    AbyssalError,
    ApiTimeoutError,
    InternalServerError,
    ProtocolError,
    StreamInterruptedError,
)

_PIECES = frozenset({None, "response", "text_stream"})
_LAST = frozenset({"done", "complete"})


class _Message(msgspec.Struct):
    """Whatever a server says."""

    type: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionCallDelta | None = None
    logprobs: Logprobs | None = None
    index: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    event_id: str = ""


_decode = msgspec.json.Decoder(_Message).decode


class SocketReader:
    """Reads one answer; `secret` is kept out of errors.

    `begun` turns true with the answer's first message, `ended` with its last one; `failure` is then what to
    raise, None after a good end. `last_id` is the id of the last message, "" without one; after a cut (`cut`)
    a resumable answer may go on behind it.
    """

    __slots__ = (
        "_assembly", "_model", "_secret", "begun", "cut", "ended", "failure", "last_id", "request_id",
    )  # fmt: skip

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._assembly = CompletionAssembly()
        self._model = ""
        self.begun = False
        self.ended = False
        self.cut = False
        self.last_id = ""
        self.failure: AbyssalError | None = None
        self.request_id: str | None = None

    def feed(self, message: bytes) -> Piece | None:
        """The text in `message`, None if it has none. Look at `ended` and `failure` then."""
        if self.ended:
            return None
        try:
            told = _decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._fail(faults.OpenAICompatibilityError(f"A message is none of the answer's: {error}."))
            return None
        if told.event_id:
            self.last_id = told.event_id
        if told.type in _PIECES:
            return self._take(told, last=told.type is None and told.finish_reason is not None)
        if told.type in _LAST:
            return self._take(told, last=True)
        if told.type == "error":
            self.request_id = told.request_id
            error = faults.error_in_event(message, told.request_id, self._secret)
            error = error or InternalServerError("The service told of an error, and nothing about it.")
            error.retry_after = told.retry_after
            gone = error.code == "stream_not_found"
            self._fail(lost_for_good(_interrupted("the socket was lost"), error) if gone else error)
        return None

    def feed_fault(self, error: AbyssalError) -> None:
        """The socket failed. Before the first message that is the failure, after it the answer was cut."""
        self.cut = not isinstance(error, ProtocolError)
        if not self.begun or isinstance(error, ApiTimeoutError):
            self._fail(error)
        else:
            self._fail(_interrupted(str(error)))

    def go_on(self) -> None:
        """The answer is asked for again: what comes now follows the message with `last_id`."""
        self.ended = self.cut = False
        self.failure = None

    def feed_stop(self) -> None:
        """Nobody will read on: a signal or a cancellation came in between."""
        self._fail(_interrupted("reading it was interrupted"))

    def completion(self) -> ChatCompletion:
        """What has come so far, as one completion."""
        completion = self._assembly.completion(self.request_id)
        msgspec.structs.force_setattr(completion, "model", self._model)  # the last message alone names it
        return completion

    def reply(self) -> Reply:
        """The whole reply. Raises StreamInterruptedError when the end has not come."""
        if not self.ended or self.failure is not None:
            raise self.failure or _interrupted("it was closed")
        return reply_of(self.completion())

    def _take(self, told: _Message, *, last: bool) -> Piece | None:
        delta = Delta(
            content=told.content or None,
            reasoning_content=told.reasoning_content,
            tool_calls=told.tool_calls,
            function_call=told.function_call,
        )
        choice = ChunkChoice(delta, told.index, told.finish_reason, told.logprobs)
        chunk = ChatCompletionChunk([choice], usage=told.usage)
        self._assembly.add(chunk)
        self.begun = True
        if last:
            self.ended = True
            self.request_id = told.request_id
            self._model = told.model
        return piece_of(chunk)

    def _fail(self, error: AbyssalError) -> None:
        self.ended = True
        self.failure = error


def _interrupted(how: str) -> StreamInterruptedError:
    return StreamInterruptedError(
        f"The answer was cut before its end: {how.rstrip('.')}. What came so far is in its "
        "completion_so_far(); an answer goes on by itself with resumable=True, where the service can."
    )
