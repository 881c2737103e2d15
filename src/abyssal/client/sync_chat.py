"""Blocking `client.chat` and `client.models`: the methods by which a user calls."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from abyssal.client.answer import RawResponse, parse_completion, parse_models
from abyssal.client.assembly import CHAT_STREAM
from abyssal.client.params import CallOptions, ChatParams
from abyssal.client.sync_calls import Caller
from abyssal.client.sync_stream import ChatStream
from abyssal.wire.chat import ChatCompletion, ModelList


class Chat:
    """`client.chat`."""

    def __init__(self, caller: Caller) -> None:
        self.completions = Completions(caller)


class Completions:
    """`client.chat.completions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.with_raw_response = RawCompletions(caller)

    @overload
    def create(self, *, stream: Literal[True], **params: Unpack[ChatParams]) -> ChatStream: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion | ChatStream: ...

    def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion | ChatStream:
        """The model's answer to `messages`; with `stream=True` an iterator of its chunks as they come.

        The arguments are those of `abyssal.client.params.ChatParams`; `model` and `messages` are needed.
        Raises ApiError of the answer's kind, ApiTimeoutError, ApiConnectionError, ProtocolError, and
        ConfigurationError or TypeError for arguments that cannot be sent. What may help is tried again first.
        """
        caller = self._caller
        call = caller.core.chat(params, stream=bool(stream))
        if stream:
            return ChatStream(caller, call, CHAT_STREAM, caller.open(call))
        return parse_completion(caller.send(call), caller.core.secret)


class RawCompletions:
    """`client.chat.completions.with_raw_response`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, **params: Unpack[ChatParams]) -> RawResponse[ChatCompletion]:
        """The answer as it came: status, headers, bytes; `parse()` gives what the plain `create` returns."""
        core = self._caller.core
        return RawResponse(self._caller.send(core.chat(params, stream=False)), parse_completion, core.secret)


class Models:
    """`client.models`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """The models that the key may use. Raises as `chat.completions.create` does."""
        core = self._caller.core
        return parse_models(self._caller.send(core.models(options)), core.secret)
