"""Writes an official answer as messages on a socket, in text frames. Pure.

1. Each piece of text is a message with `content`. What comes beside it (`reasoning_content`, `tool_calls`,
   `function_call`, `logprobs`, `index` of a further choice) stands next to it, under its official name; a
   client that knows nothing of them finds an empty `content`.
2. The last message has `finish_reason` and `usage`. Pieces that say nothing are left out.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.dialects.sockets.messages import error_frame, frame
from abyssal.gateway.dialects.sockets.words import Words
from abyssal.wire.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    FunctionCall,
    FunctionCallDelta,
    Logprobs,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from abyssal.wire.errors import ErrorBody, ErrorObject

_encode = msgspec.json.Encoder().encode
_EMPTY = b'""'


class _Beside(msgspec.Struct, omit_defaults=True):
    """What may stand next to `content`."""

    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | list[ToolCall] | None = None
    function_call: FunctionCallDelta | FunctionCall | None = None
    logprobs: Logprobs | None = None
    index: int = 0


class _Final(msgspec.Struct):
    """The end of the last message. `request_id` is to be named when help is asked for."""

    finish_reason: str | None
    usage: Usage | None
    model: str
    request_id: str
    conversation_id: str | msgspec.UnsetType = msgspec.UNSET


class SocketWriter:
    """Writes one answer. `request_id` is the call's, `conversation` that which it belongs to, "" for none."""

    __slots__ = ("_conversation", "_delta", "_finish_reason", "_model", "_request_id", "_usage", "_words")

    def __init__(self, words: Words, request_id: str, conversation: str = "") -> None:
        self._conversation = conversation or msgspec.UNSET
        self._words, self._request_id = words, request_id
        self._delta = words.delta
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._model = ""

    def answer(self, completion: ChatCompletion) -> bytes:
        """A whole answer: its pieces and the last message."""
        out: list[bytes] = []
        for choice in completion.choices:
            said = choice.message
            self._finish_reason = choice.finish_reason or self._finish_reason
            beside = _Beside(
                said.reasoning_content or None,
                said.tool_calls or None,
                said.function_call,
                choice.logprobs,
                choice.index,
            )
            out.append(self._piece(said.content, beside))
        self._usage, self._model = completion.usage, completion.model
        out.append(self.end())
        return b"".join(out)

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The messages of one chunk: nothing for one without text or tools."""
        out = b""
        for choice in chunk.choices:
            delta = choice.delta
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason
            if (
                delta.reasoning_content
                or delta.tool_calls
                or choice.logprobs is not None
                or choice.index
                or delta.function_call is not None
            ):
                beside = _Beside(
                    delta.reasoning_content or None,
                    delta.tool_calls or None,
                    delta.function_call,
                    choice.logprobs,
                    choice.index,
                )
                out += self._piece(delta.content, beside)
            elif delta.content:
                out += frame(self._delta + _encode(delta.content) + b"}")
        if chunk.usage is not None:
            self._usage = chunk.usage
        self._model = chunk.model
        return out

    def end(self) -> bytes:
        """The last message."""
        final = _encode(
            _Final(self._finish_reason, self._usage, self._model, self._request_id, self._conversation)
        )
        return frame(self._words.final + final[1:])

    def broken(self, error: ErrorObject) -> bytes:
        """An error in place of the last message."""
        return error_frame(_encode(ErrorBody(error)), self._request_id)

    def _piece(self, content: str | None, beside: _Beside) -> bytes:
        more = _encode(beside)
        if more == b"{}" or (not content and more.startswith(b'{"index":')):
            return frame(self._delta + _encode(content) + b"}") if content else b""
        text = _encode(content) if content else _EMPTY
        return frame(self._delta + text + b"," + more[1:])
