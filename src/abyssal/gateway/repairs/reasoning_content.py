"""Repair `reasoning_content`: what a client left out of earlier turns is put back.

The service refuses a request with `tools` whose earlier assistant turns lack their `reasoning_content`, and
most clients drop it. So what it thought is remembered as it answers a request with tools, and put into the
turns of later ones that lack it. Source: DeepSeek API, "Thinking Mode", tool calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abyssal.gateway.repairs.events import payloads
from abyssal.gateway.repairs.turns import turn_digest
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk

_MOST_TEXT = 1024 * 1024  # characters of one turn that are followed; a longer one is not learned

Remember = Callable[[bytes, str], None]
"""Takes a turn's digest, and what was thought before it."""


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Turn(msgspec.Struct):
    role: str = ""
    content: Any = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


_turn = msgspec.json.Decoder(_Turn)
_completion = msgspec.json.Decoder(ChatCompletion)
_chunk = msgspec.json.Decoder(ChatCompletionChunk)
_encode = msgspec.json.Encoder().encode


def put_back(messages: list[msgspec.Raw], recall: Callable[[bytes], str | None]) -> bool:
    """Complete the turns in `messages` that lack their reasoning; whether there was one that could be."""
    changed = False
    for place, raw in enumerate(messages):
        if b"assistant" not in bytes(raw):
            continue
        try:
            turn = _turn.decode(raw)
        except msgspec.DecodeError:
            continue
        if turn.role != "assistant" or turn.reasoning_content:
            continue
        calls = [(call.function.name, call.function.arguments) for call in turn.tool_calls or ()]
        reasoning = recall(turn_digest(turn.content, calls))
        if reasoning is not None:
            fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            fields["reasoning_content"] = reasoning
            messages[place] = msgspec.Raw(_encode(fields))
            changed = True
    return changed


class Learner:
    """Follows one answer and remembers its turn. Nothing of the answer is changed."""

    __slots__ = ("_calls", "_content", "_reasoning", "_remember", "_size")

    def __init__(self, remember: Remember) -> None:
        self._remember = remember
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, tuple[list[str], list[str]]] = {}
        self._size = 0

    def answer(self, body: bytes) -> bytes:
        """A whole answer."""
        try:
            choices = _completion.decode(body).choices
        except msgspec.DecodeError:
            return body
        for choice in choices:
            said = choice.message
            if said.reasoning_content:
                calls = [(call.function.name, call.function.arguments) for call in said.tool_calls or ()]
                self._remember(turn_digest(said.content, calls), said.reasoning_content)
        return body

    def feed(self, events: bytes) -> bytes:
        """Whole events of a stream; its first choice is followed."""
        for payload in payloads(events):
            try:
                choices = _chunk.decode(payload).choices
            except msgspec.DecodeError:
                continue
            for choice in choices:
                if choice.index == 0:
                    delta = choice.delta
                    self._take(self._content, delta.content)
                    self._take(self._reasoning, delta.reasoning_content)
                    for call in delta.tool_calls or ():
                        name, arguments = self._calls.setdefault(call.index or 0, ([], []))
                        if call.function is not None:
                            self._take(name, call.function.name)
                            self._take(arguments, call.function.arguments)
                    if choice.finish_reason is not None:
                        self._finished()
        return events

    def end(self) -> bytes:
        """Nothing was kept back."""
        return b""

    def _take(self, pieces: list[str], text: str | None) -> None:
        if text and self._size <= _MOST_TEXT:
            self._size += len(text)
            pieces.append(text)

    def _finished(self) -> None:
        if self._reasoning and self._size <= _MOST_TEXT:
            calls = [("".join(name), "".join(arguments)) for name, arguments in self._calls.values()]
            self._remember(turn_digest("".join(self._content), calls), "".join(self._reasoning))
