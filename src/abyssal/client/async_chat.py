"""Asynchronous `client.chat` and `client.models`: the methods by which a user calls."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from abyssal.client.answer import RawResponse, parse_completion, parse_models
from abyssal.client.assembly import CHAT_STREAM
from abyssal.client.async_calls import AsyncCaller
from abyssal.client.async_stream import AsyncChatStream
from abyssal.client.params import CallOptions, ChatParams
from abyssal.wire.chat import ChatCompletion, ModelList


class AsyncChat:
    """`client.chat`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self.completions = AsyncCompletions(caller)


class AsyncCompletions:
    """`client.chat.completions`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller
        self.with_raw_response = AsyncRawCompletions(caller)

    @overload
    async def create(self, *, stream: Literal[True], **params: Unpack[ChatParams]) -> AsyncChatStream: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion | AsyncChatStream: ...

    async def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion | AsyncChatStream:
        """The model's answer to `messages`; with `stream=True` an iterator of its chunks as they come.

        The arguments are those of `abyssal.client.params.ChatParams`; `model` and `messages` are needed.
        Raises ApiError of the answer's kind, ApiTimeoutError, ApiConnectionError, ProtocolError, and
        ConfigurationError or TypeError for arguments that cannot be sent. What may help is tried again first.
        """
        caller = self._caller
        call = caller.core.chat(params, stream=bool(stream))
        if stream:
            return AsyncChatStream(caller, call, CHAT_STREAM, await caller.open(call))
        return parse_completion(await caller.send(call), caller.core.secret)


class AsyncRawCompletions:
    """`client.chat.completions.with_raw_response`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, **params: Unpack[ChatParams]) -> RawResponse[ChatCompletion]:
        """The answer as it came: status, headers, bytes; `parse()` gives what the plain `create` returns."""
        core = self._caller.core
        answer = await self._caller.send(core.chat(params, stream=False))
        return RawResponse(answer, parse_completion, core.secret)


class AsyncModels:
    """`client.models`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """The models that the key may use. Raises as `chat.completions.create` does."""
        core = self._caller.core
        return parse_models(await self._caller.send(core.models(options)), core.secret)
