"""What an answer said, as the message that a conversation keeps: of a whole answer, or folded from a stream.

Of several answers (`n`) the first is kept. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from abyssal.wire.sse import EventDecoder


class _FunctionDelta(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _FunctionDelta | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallDelta] | None = None
    function_call: _FunctionDelta | None = None


class _ChunkChoice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None


class _Chunk(msgspec.Struct):
    choices: list[_ChunkChoice] = []
    error: msgspec.Raw | UnsetType | None = UNSET


class _Said(msgspec.Struct, omit_defaults=True):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw | None = None


class _Choice(msgspec.Struct):
    message: _Said
    index: int = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_chunk = msgspec.json.Decoder(_Chunk)
_completion = msgspec.json.Decoder(_Completion)
_encode = msgspec.json.Encoder().encode


def message_of_answer(body: bytes, prefix: str) -> msgspec.Raw | None:
    """The assistant's message in a whole answer (JSON), None when there is none to be read.

    `prefix` is the text that it goes on from, "" for none.
    """
    try:
        choices = _completion.decode(body).choices
    except msgspec.DecodeError:
        return None
    for choice in choices:
        if choice.index == 0:
            said = choice.message
            return _message(prefix, said.content, said.reasoning_content, said.tool_calls, said.function_call)
    return None


class StreamedAnswer:
    """Folds the events of a stream. `broken`: there was an error event, or one that cannot be read."""

    __slots__ = ("_calls", "_content", "_events", "_function", "_prefix", "_reasoning", "broken")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._events = EventDecoder()
        self._content: list[str] | None = None
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._function: dict[str, Any] | None = None
        self.broken = False

    def take(self, events: bytes) -> None:
        """Whole events, `[DONE]` not among them."""
        for event in self._events.feed(events):
            try:
                chunk = _chunk.decode(event.data)
            except msgspec.DecodeError:
                self.broken = True
                continue
            if chunk.error is not UNSET and chunk.error is not None:
                self.broken = True
            for choice in chunk.choices:
                if choice.index == 0 and choice.delta is not None:
                    self._add(choice.delta)

    def message(self) -> msgspec.Raw:
        """The assistant's message so far."""
        calls = [msgspec.Raw(_encode(call)) for _, call in sorted(self._calls.items())]
        return _message(
            self._prefix,
            None if self._content is None else "".join(self._content),
            "".join(self._reasoning) or None,
            calls or None,
            None if self._function is None else msgspec.Raw(_encode(self._function)),
        )

    def _add(self, delta: _Delta) -> None:
        if delta.content is not None:
            if self._content is None:
                self._content = []
            self._content.append(delta.content)
        if delta.reasoning_content:
            self._reasoning.append(delta.reasoning_content)
        for call in delta.tool_calls or ():
            kept = self._calls.setdefault(
                call.index or 0, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            kept["id"] = call.id or kept["id"]
            _extend(kept["function"], call.function)
        if delta.function_call is not None:
            if self._function is None:
                self._function = {"name": "", "arguments": ""}
            _extend(self._function, delta.function_call)


def _extend(function: dict[str, str], delta: _FunctionDelta | None) -> None:
    if delta is not None:
        function["name"] += delta.name or ""
        function["arguments"] += delta.arguments or ""


def _message(
    prefix: str,
    content: str | None,
    reasoning: str | None,
    calls: list[msgspec.Raw] | None,
    function: msgspec.Raw | None,
) -> msgspec.Raw:
    message: dict[str, Any] = {"role": "assistant", "content": prefix + content if content else content}
    if prefix and not content:
        message["content"] = prefix
    if message["content"] is None and not calls and function is None:
        message["content"] = ""
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    if function is not None:
        message["function_call"] = function
    return msgspec.Raw(_encode(message))
