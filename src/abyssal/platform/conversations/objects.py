"""Conversations and turns as the JSON objects that the routes answer with: times in ISO 8601, UTC."""

from __future__ import annotations

import msgspec

from abyssal.platform.conversations.contents import Contents
from abyssal.platform.identity.objects import moment
from abyssal.platform.identity.pages import Page
from abyssal.stores.sql.conversations import ConversationRow
from abyssal.stores.sql.turns import TurnRow


class ConversationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation. `messages` are those that it began with, `turn_count` how many were added since."""

    id: str
    object: str = "conversation"
    title: str | None
    metadata: dict[str, str]
    user_id: str | None
    messages: list[msgspec.Raw]
    turn_count: int
    ttl: int
    created_at: str
    updated_at: str
    expires_at: str


class TurnObject(msgspec.Struct, frozen=True, kw_only=True):
    """What one call added: its messages and the answer. `request_id` is the call's."""

    number: int
    object: str = "conversation.turn"
    conversation_id: str
    request_id: str
    model: str
    messages: msgspec.Raw
    created_at: str


class WholeConversation(ConversationObject, frozen=True, kw_only=True):
    """A conversation with a page of its turns."""

    turns: Page[TurnObject]


class DeletedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is gone."""

    id: str
    object: str = "conversation.deleted"
    deleted: bool = True


class DeletedConversations(msgspec.Struct, frozen=True, kw_only=True):
    """All of a person's that are gone; `deleted` is how many they were."""

    object: str = "conversations.deleted"
    user_id: str
    deleted: int


def conversation_object(row: ConversationRow, contents: Contents) -> ConversationObject:
    """A conversation without its turns."""
    about = contents.about(row)
    return ConversationObject(
        id=row.id,
        title=about.title,
        metadata=about.metadata,
        user_id=row.user_id,
        messages=about.messages,
        turn_count=row.turns,
        ttl=row.ttl_us // 1_000_000,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        expires_at=moment(row.expires_at),
    )


def turn_object(row: TurnRow, contents: Contents) -> TurnObject:
    """A turn."""
    return TurnObject(
        number=row.number,
        conversation_id=row.conversation_id,
        request_id=row.call_id,
        model=row.model,
        messages=msgspec.Raw(contents.messages(row)),
        created_at=moment(row.created_at),
    )
