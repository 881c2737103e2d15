"""Blocking `client.completions`, `client.text` and `client.embeddings`: the user's methods."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from abyssal.client.answer import RawResponse
from abyssal.client.embedding_params import EmbeddingParams, embedding_body
from abyssal.client.params import CallOptions
from abyssal.client.routes import EMBEDDINGS, TEXT_COMPLETION, TEXT_GENERATE, Route
from abyssal.client.sync_calls import Caller
from abyssal.client.sync_stream import EventStream
from abyssal.client.text_answers import parse_embeddings, parse_text
from abyssal.client.text_assembly import TEXT_STREAM
from abyssal.client.text_params import CompletionParams, TextParams, completion_body, text_body
from abyssal.wire.completions import TextCompletion
from abyssal.wire.embeddings import EmbeddingList


class TextStream(EventStream[TextCompletion, TextCompletion]):
    """The chunks of a text completion, as they come, once; see EventStream."""


class TextCompletions:
    """`client.completions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.with_raw_response = RawTextCompletions(caller)

    @overload
    def create(self, *, stream: Literal[True], **params: Unpack[CompletionParams]) -> TextStream: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion | TextStream: ...

    def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion | TextStream:
        """The text that goes on from `prompt`, or fills the gap between it and `suffix`.

        With `stream=True` an iterator of its chunks as they come. The arguments are those of
        `abyssal.client.text_params.CompletionParams`; `model` and `prompt` are needed. Raises as
        `chat.completions.create` does.
        """
        route, body = completion_body(params, stream=bool(stream))
        return _asked(self._caller, route, body, params, stream=bool(stream))


class RawTextCompletions:
    """`client.completions.with_raw_response`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, **params: Unpack[CompletionParams]) -> RawResponse[TextCompletion]:
        """The answer as it came: status, headers, bytes; `parse()` gives what the plain `create` returns."""
        core = self._caller.core
        route, body = completion_body(params, stream=False)
        answer = self._caller.send(core.call(route, body, params))
        return RawResponse(answer, parse_text, core.secret)


class Text:
    """`client.text`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def generate(self, prompt: str, *, stream: Literal[True], **params: Unpack[TextParams]) -> TextStream: ...
    @overload
    def generate(
        self, prompt: str, *, stream: Literal[False] | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion: ...
    @overload
    def generate(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | TextStream: ...

    def generate(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | TextStream:
        """What the model writes when it is told `prompt`; its `.text`. With `stream=True` its chunks.

        The arguments are those of `abyssal.client.text_params.TextParams`. Raises as
        `chat.completions.create` does.
        """
        body = text_body("generate", prompt, params, stream=bool(stream))
        return _asked(self._caller, TEXT_GENERATE, body, params, stream=bool(stream))

    @overload
    def complete(self, prompt: str, *, stream: Literal[True], **params: Unpack[TextParams]) -> TextStream: ...
    @overload
    def complete(
        self, prompt: str, *, stream: Literal[False] | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion: ...
    @overload
    def complete(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | TextStream: ...

    def complete(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | TextStream:
        """The text that goes on from `prompt`; its `.text`. With `stream=True` its chunks as they come.

        The arguments are those of `abyssal.client.text_params.TextParams`. Raises as
        `chat.completions.create` does.
        """
        body = text_body("complete", prompt, params, stream=bool(stream))
        return _asked(self._caller, TEXT_COMPLETION, body, params, stream=bool(stream))


class Embeddings:
    """`client.embeddings`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingList:
        """A vector for each text of `input`, as lists of floats.

        The arguments are those of `abyssal.client.embedding_params.EmbeddingParams`; `model` and `input` are
        needed. Raises as `chat.completions.create` does.
        """
        core = self._caller.core
        call = core.call(EMBEDDINGS, embedding_body(params), params)
        return parse_embeddings(self._caller.send(call), core.secret)


def _asked(
    caller: Caller, route: Route, body: dict[str, object], params: CallOptions, *, stream: bool
) -> TextCompletion | TextStream:
    call = caller.core.call(route, body, params, stream=stream)
    if stream:
        return TextStream(caller, call, TEXT_STREAM, caller.open(call))
    return parse_text(caller.send(call), caller.core.secret)
