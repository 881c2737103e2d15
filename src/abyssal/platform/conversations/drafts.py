"""What callers send to begin a conversation: shapes and sizes. Unknown fields are errors."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from abyssal.wire.chat_request import check_messages
from abyssal.wire.errors import BadRequestError

LONGEST_LIFE = 10 * 365 * 86_400  # seconds

Key = Annotated[str, Meta(min_length=1, max_length=64)]
Value = Annotated[str, Meta(max_length=512)]
Person = Annotated[str, Meta(min_length=1, max_length=512)]


class ConversationDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new conversation. `ttl` is in seconds after its last turn, None for the configured one.

    `system_prompt` and `messages` stand before every call: the first is short for a system message.
    """

    title: Annotated[str, Meta(max_length=200)] | None = None
    metadata: Annotated[dict[Key, Value], Meta(max_length=16)] | None = None
    user_id: Person | None = None
    system_prompt: Annotated[str, Meta(min_length=1)] | None = None
    messages: list[msgspec.Raw] = []
    ttl: Annotated[int, Meta(ge=1, le=LONGEST_LIFE)] | None = None


def opening(draft: ConversationDraft) -> list[msgspec.Raw]:
    """The messages that the conversation begins with. Raises BadRequestError (`messages`)."""
    if draft.user_id is not None and "\0" in draft.user_id:
        raise BadRequestError('"user_id": a NUL is no text.', param="user_id", code="invalid_value")
    messages = list(draft.messages)
    check_messages(msgspec.json.encode(messages))
    if draft.system_prompt is not None:
        said = {"role": "system", "content": draft.system_prompt}
        messages.insert(0, msgspec.Raw(msgspec.json.encode(said)))
    return messages
