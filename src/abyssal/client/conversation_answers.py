"""What came back about conversations: the typed value in a whole answer. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from abyssal.client.answer import Answer, decoded
from abyssal.client.settings import Secret
from abyssal.wire.conversations import (
    Conversation,
    ConversationPage,
    DeletedConversation,
    DeletedConversations,
)

T = TypeVar("T", bound=msgspec.Struct)


def _parser(kind: type[T], wanted: str) -> Callable[[Answer, Secret], T]:
    decode = msgspec.json.Decoder(kind).decode

    def parse(answer: Answer, secret: Secret) -> T:
        value = decoded(answer, decode, wanted, secret)
        msgspec.structs.force_setattr(value, "request_id", answer.request_id)
        return value

    return parse


parse_conversation = _parser(Conversation, "a conversation")
parse_conversations = _parser(ConversationPage, "a list of conversations")
parse_deleted_conversation = _parser(DeletedConversation, "a deleted conversation")
parse_deleted_conversations = _parser(DeletedConversations, "a number of deleted conversations")
