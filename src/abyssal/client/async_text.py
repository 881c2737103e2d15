"""Asynchronous `client.completions`, `client.text` and `client.embeddings`: the user's methods."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from abyssal.client.answer import RawResponse
from abyssal.client.async_calls import AsyncCaller
from abyssal.client.async_stream import AsyncEventStream
from abyssal.client.embedding_params import EmbeddingParams, embedding_body
from abyssal.client.params import CallOptions
from abyssal.client.routes import EMBEDDINGS, TEXT_COMPLETION, TEXT_GENERATE, Route
from abyssal.client.text_answers import parse_embeddings, parse_text
from abyssal.client.text_assembly import TEXT_STREAM
from abyssal.client.text_params import CompletionParams, TextParams, completion_body, text_body
from abyssal.wire.completions import TextCompletion
from abyssal.wire.embeddings import EmbeddingList


class AsyncTextStream(AsyncEventStream[TextCompletion, TextCompletion]):
    """The chunks of a text completion, as they come, once; see AsyncEventStream."""


class AsyncTextCompletions:
    """`client.completions`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller
        self.with_raw_response = AsyncRawTextCompletions(caller)

    @overload
    async def create(
        self, *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> AsyncTextStream: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion | AsyncTextStream: ...

    async def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> TextCompletion | AsyncTextStream:
        """The text that goes on from `prompt`, or fills the gap between it and `suffix`.

        With `stream=True` an iterator of its chunks as they come. The arguments are those of
        `abyssal.client.text_params.CompletionParams`; `model` and `prompt` are needed. Raises as
        `chat.completions.create` does.
        """
        route, body = completion_body(params, stream=bool(stream))
        return await _asked(self._caller, route, body, params, stream=bool(stream))


class AsyncRawTextCompletions:
    """`client.completions.with_raw_response`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, **params: Unpack[CompletionParams]) -> RawResponse[TextCompletion]:
        """The answer as it came: status, headers, bytes; `parse()` gives what the plain `create` returns."""
        core = self._caller.core
        route, body = completion_body(params, stream=False)
        answer = await self._caller.send(core.call(route, body, params))
        return RawResponse(answer, parse_text, core.secret)


class AsyncText:
    """`client.text`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    @overload
    async def generate(
        self, prompt: str, *, stream: Literal[True], **params: Unpack[TextParams]
    ) -> AsyncTextStream: ...
    @overload
    async def generate(
        self, prompt: str, *, stream: Literal[False] | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion: ...
    @overload
    async def generate(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | AsyncTextStream: ...

    async def generate(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | AsyncTextStream:
        """What the model writes when it is told `prompt`; its `.text`. With `stream=True` its chunks.

        The arguments are those of `abyssal.client.text_params.TextParams`. Raises as
        `chat.completions.create` does.
        """
        body = text_body("generate", prompt, params, stream=bool(stream))
        return await _asked(self._caller, TEXT_GENERATE, body, params, stream=bool(stream))

    @overload
    async def complete(
        self, prompt: str, *, stream: Literal[True], **params: Unpack[TextParams]
    ) -> AsyncTextStream: ...
    @overload
    async def complete(
        self, prompt: str, *, stream: Literal[False] | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion: ...
    @overload
    async def complete(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | AsyncTextStream: ...

    async def complete(
        self, prompt: str, *, stream: bool | None = None, **params: Unpack[TextParams]
    ) -> TextCompletion | AsyncTextStream:
        """The text that goes on from `prompt`; its `.text`. With `stream=True` its chunks as they come.

        The arguments are those of `abyssal.client.text_params.TextParams`. Raises as
        `chat.completions.create` does.
        """
        body = text_body("complete", prompt, params, stream=bool(stream))
        return await _asked(self._caller, TEXT_COMPLETION, body, params, stream=bool(stream))


class AsyncEmbeddings:
    """`client.embeddings`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingList:
        """A vector for each text of `input`, as lists of floats.

        The arguments are those of `abyssal.client.embedding_params.EmbeddingParams`; `model` and `input` are
        needed. Raises as `chat.completions.create` does.
        """
        core = self._caller.core
        call = core.call(EMBEDDINGS, embedding_body(params), params)
        return parse_embeddings(await self._caller.send(call), core.secret)


async def _asked(
    caller: AsyncCaller, route: Route, body: dict[str, object], params: CallOptions, *, stream: bool
) -> TextCompletion | AsyncTextStream:
    call = caller.core.call(route, body, params, stream=stream)
    if stream:
        return AsyncTextStream(caller, call, TEXT_STREAM, await caller.open(call))
    return parse_text(await caller.send(call), caller.core.secret)
