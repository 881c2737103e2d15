"""What a model may see of a conversation: whole turns are cut, oldest first, until the rest fits. Pure.

1. A turn is a message of the user with all that follows it until the next: calls of tools and their results
   stay together. What stands before the first, if it is not the system's, is the oldest turn.
2. System messages, wherever they stand, are never cut; neither is the newest turn.
3. Sizes are estimates (`wire.token_estimate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from abyssal.wire.errors import BadRequestError
from abyssal.wire.token_estimate import FRAME_TOKENS, PART_TOKENS, text_tokens

SYSTEM = ("system", "developer")


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Said(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Whose(msgspec.Struct):
    role: str


class Message(NamedTuple):
    """One message as it travels (JSON), whose it is, and what it comes to in tokens."""

    raw: msgspec.Raw
    role: str
    tokens: float

    @property
    def is_system(self) -> bool:
        """Whether it is an instruction, not something that was said."""
        return self.role in SYSTEM


_array = msgspec.json.Decoder(list[msgspec.Raw])
_said = msgspec.json.Decoder(_Said)
_whose = msgspec.json.Decoder(_Whose)


def messages_of(array: bytes | msgspec.Raw, *, weighed: bool = True) -> list[Message]:
    """The messages of a JSON array that is known to be one of chat messages; not `weighed`, of no tokens."""
    if weighed:
        return [message_of(raw) for raw in _array.decode(array)]
    return [Message(raw, _whose.decode(raw).role, 0) for raw in _array.decode(array)]


def message_of(raw: msgspec.Raw) -> Message:
    """A chat message (JSON)."""
    said = _said.decode(raw)
    tokens = FRAME_TOKENS + _content_tokens(said.content)
    if said.reasoning_content:
        tokens += text_tokens(said.reasoning_content)
    functions = [call.function for call in said.tool_calls or ()]
    for function in (*functions, said.function_call):
        if function is not None:
            tokens += text_tokens(function.name) + text_tokens(function.arguments)
    return Message(raw, said.role, tokens)


def tokens_of(messages: Iterable[Message]) -> int:
    """What they come to together."""
    return round(sum(message.tokens for message in messages))


def from_a_turn_s_beginning(messages: Sequence[Message]) -> list[Message]:
    """The end of a history, without what is left of a turn whose beginning is not there."""
    for index, message in enumerate(messages):
        if message.role == "user":
            return list(messages[index:])
    return []


def cut(messages: Sequence[Message], window: int, *, strict: bool) -> list[Message]:
    """The `messages` that fit into `window` tokens, their order kept.

    When the newest turn does not fit: BadRequestError (`context_window`) if `strict`, else it alone is left.
    """
    turns = _turns(messages)
    kept = [index for index, message in enumerate(messages) if message.is_system]
    total = sum(messages[index].tokens for index in kept)
    newest = True
    for turn in reversed(turns):
        size = sum(messages[index].tokens for index in turn)
        if round(total + size) > window:
            if not newest:
                break
            if strict:
                raise too_large(round(total + size), window)
        total += size
        kept += turn
        newest = False
    return [messages[index] for index in sorted(kept)]


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """The turns, oldest first, as the places of their messages."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message.is_system:
            continue
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


def _content_tokens(content: str | list[_Part] | None) -> float:
    if content is None:
        return 0
    if isinstance(content, str):
        return text_tokens(content)
    return sum(PART_TOKENS if part.text is None else text_tokens(part.text) for part in content)


def too_large(size: int, window: int) -> BadRequestError:
    """The error for a newest turn of `size` tokens, system messages included."""
    return BadRequestError(
        f"The system messages and the newest turn come to about {size} tokens, which do not fit into the "
        f"window of {window}; send less, or a larger context_window.",
        param="context_window",
        code="context_length_exceeded",
    )
