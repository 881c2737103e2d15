"""Conversations that the platform keeps, as typed values: what a client reads. As `wire.chat`, in all things.

Source: the platform's API, "Conversations". Times are ISO 8601 in UTC, `ttl` is in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import field

from abyssal.wire.chat import Answer


class Turn(Answer, frozen=True):
    """What one call added: its messages and the answer. `request_id` is the call's."""

    number: int
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    conversation_id: str = ""
    request_id: str | None = None
    model: str = ""
    created_at: str | None = None
    object: str = field(default_factory=lambda: "conversation.turn")


class TurnPage(Answer, frozen=True):
    """A page of turns, oldest first; also an iterable of them. `next` goes into `after`."""

    data: list[Turn]
    has_more: bool = False
    next: str | None = None

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class Conversation(Answer, frozen=True):
    """One conversation. `messages` are those that it began with, `turn_count` how many were added since.

    `turns` is there when it was retrieved by its id: the first page of them.
    """

    id: str
    title: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    user_id: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    turn_count: int = field(default_factory=int)
    ttl: int | None = None
    created_at: str | None = None
    updated_at: str | None = None
    expires_at: str | None = None
    turns: TurnPage | None = None
    object: str = field(default_factory=lambda: "conversation")
    request_id: str | None = None


class ConversationPage(Answer, frozen=True):
    """A page of conversations, oldest first; also an iterable of them. `next` goes into `after`."""

    data: list[Conversation]
    has_more: bool = False
    next: str | None = None
    request_id: str | None = None

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class DeletedConversation(Answer, frozen=True):
    """A conversation that is gone."""

    id: str
    deleted: bool = True
    request_id: str | None = None


class DeletedConversations(Answer, frozen=True):
    """All of a person's that are gone; `deleted` is how many they were."""

    user_id: str
    deleted: int
    request_id: str | None = None


class _Kind(msgspec.Struct):
    object: str


_kind = msgspec.json.Decoder(_Kind).decode
_conversation = msgspec.json.Decoder(Conversation).decode
_turn = msgspec.json.Decoder(Turn).decode


def decode_exported(line: bytes) -> Conversation | Turn:
    """A line of an export. Raises msgspec.DecodeError when it is none."""
    return _turn(line) if _kind(line).object == "conversation.turn" else _conversation(line)
