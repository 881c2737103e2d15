"""What a request says of its history, and the request with that history in it. Pure: bodies and messages.

1. Order: the conversation's own system messages, those that begin the call, the rest of what the conversation
   began with, its turns, the call's other messages.
2. System messages of a call steer that call and are not kept; all else that it brings is, with the answer.
3. `language` is a sentence at the end of the last system message before the turns.
4. An assistant's message with `prefix: true` at the end is one with the answer, and is kept as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from abyssal.gateway.compose.window import Message, message_of, messages_of
from abyssal.wire.chat_request import AssistantMessage, ChatRequest

OWN = ("language", "context_window", "conversation_id", "cache", "experiment")

_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class Asked(NamedTuple):
    """The platform's own parameters of a request; None for what it does not have.

    `cache` and `experiment` are reserved: they are taken out, and nothing follows from them.
    """

    language: str | None
    window: int | None
    conversation: str | None


def asked_of(request: ChatRequest) -> Asked | None:
    """What the request asks; None when none of the keys is there."""
    language, window, conversation = request.language, request.context_window, request.conversation_id
    reserved = request.cache is not UNSET or request.experiment is not UNSET
    if language is UNSET and window is UNSET and conversation is UNSET and not reserved:
        return None
    tag = None if language is UNSET else language
    return Asked(tag, window or None, None if conversation is UNSET else conversation)


class Brought(NamedTuple):
    """A call's own messages: the system's that begin it, the rest, the text that the answer goes on from."""

    leading: list[Message]
    rest: list[Message]
    prefix: str

    @property
    def kept(self) -> list[Message]:
        """What the conversation keeps of it."""
        said = [message for message in self.rest if not message.is_system]
        return said[:-1] if self.prefix else said


def brought_by(body: bytes, request: ChatRequest) -> Brought:
    """The messages of a checked request, JSON, which is `request`."""
    messages = messages_of(_top_level.decode(body)["messages"])
    last = request.messages[-1]
    prefix = ""
    if isinstance(last, AssistantMessage) and last.prefix and isinstance(last.content, str):
        prefix = last.content
    return Brought(*_led(messages), prefix)


def composed(opening: Sequence[Message], turns: Iterable[Message], brought: Brought) -> list[Message]:
    """All that the model is to see, before anything is cut."""
    leading, began_with = _led(opening)
    return [*leading, *brought.leading, *began_with, *turns, *brought.rest]


def steered(messages: Sequence[Message], sentence: str) -> list[Message]:
    """`messages` with the sentence in the last system message before everything else."""
    leading, rest = _led(messages)
    if not leading:
        return [_made({"role": "system", "content": sentence}), *rest]
    said = _object.decode(leading[-1].raw)
    content = said["content"]
    if isinstance(content, str):
        said["content"] = f"{content}\n\n{sentence}"
    else:
        said["content"] = [*content, {"type": "text", "text": sentence}]
    return [*leading[:-1], _made(said), *rest]


def body_with(body: bytes, messages: Iterable[Message] | None) -> bytes:
    """`body` without the platform's own keys; with `messages` in the place of its own, unless None."""
    fields: dict[str, Any] = {key: raw for key, raw in _top_level.decode(body).items() if key not in OWN}
    if messages is not None:
        fields["messages"] = [message.raw for message in messages]
    return _encode(fields)


def _led(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The system messages at the beginning, and the rest."""
    for index, message in enumerate(messages):
        if not message.is_system:
            return list(messages[:index]), list(messages[index:])
    return list(messages), []


def _made(message: dict[str, Any]) -> Message:
    return message_of(msgspec.Raw(_encode(message)))
