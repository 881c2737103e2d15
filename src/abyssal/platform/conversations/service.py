"""A project's conversations: begun, listed, shown, deleted. Another project's are as if there were none."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from abyssal.platform.conversations.contents import About, Contents
from abyssal.platform.conversations.drafts import ConversationDraft, opening
from abyssal.platform.conversations.objects import (
    ConversationObject,
    DeletedConversation,
    DeletedConversations,
    TurnObject,
    WholeConversation,
    conversation_object,
    turn_object,
)
from abyssal.platform.identity import pages
from abyssal.platform.identity.ids import is_id, new_id
from abyssal.platform.tenant import TenantTransaction
from abyssal.stores.sql.conversations import (
    ConversationRow,
    add_conversation,
    conversations_within,
    delete_conversation,
    delete_of_user,
    find_conversation,
    page_conversations,
)
from abyssal.stores.sql.turns import page_turns, turns_within
from abyssal.wire.errors import BadRequestError, NotFoundError

MOST_IN_A_PAGE = 8 * 1024 * 1024
"""Bytes of contents: a page that would have more ends early, since all of it is in memory at once."""

_AT_ONCE = 100  # conversations deleted in one statement
_SECOND = 1_000_000_000


def create_conversation(turn: TenantTransaction, draft: ConversationDraft) -> ConversationObject:
    """A new conversation of the caller's project. Raises BadRequestError."""
    messages = opening(draft)
    row_id = new_id("conv")
    contents = contents_of(turn)
    about = About(draft.title, draft.metadata or {}, messages)
    content, sealed = contents.of_conversation(turn.connection, row_id, about)
    ttl = turn.plane.conversations.ttl if draft.ttl is None else draft.ttl
    row = ConversationRow(
        row_id,
        turn.caller.project,
        draft.user_id,
        content,
        sealed,
        0,
        ttl * 1_000_000,
        turn.now_ns,
        turn.now_ns,
        turn.now_ns + ttl * _SECOND,
    )
    add_conversation(turn.connection, row)
    return conversation_object(row, contents)


def list_conversations(turn: TenantTransaction, query: Mapping[str, str]) -> pages.Page[ConversationObject]:
    """A page of them, oldest first; `user_id` narrows it to a person's."""
    user, contents = person_of(query), contents_of(turn)
    asked = pages.asked_page(turn.vault, "conversations", query)
    fits = conversations_within(
        turn.connection,
        turn.caller.project,
        user=user,
        now_ns=turn.now_ns,
        after=asked.after,
        count=asked.limit,
        most_bytes=MOST_IN_A_PAGE,
    )
    return pages.page(
        turn.vault,
        msgspec.structs.replace(asked, limit=min(asked.limit, fits)),
        lambda after, count: page_conversations(
            turn.connection,
            turn.caller.project,
            user=user,
            now_ns=turn.now_ns,
            after=after,
            count=count,
        ),
        lambda row: (row.created_at, row.id),
        lambda rows: [conversation_object(row, contents) for row in rows],
    )


def show_conversation(
    turn: TenantTransaction, conversation: str, query: Mapping[str, str]
) -> WholeConversation:
    """One of them with a page of its turns, oldest first. Raises NotFoundError."""
    row, contents = conversation_of_id(turn, conversation), contents_of(turn)
    asked = pages.asked_page(turn.vault, f"turns of {row.id}", query)
    fits = turns_within(
        turn.connection,
        row.id,
        after=0 if asked.after is None else asked.after[0],
        count=asked.limit,
        most_bytes=MOST_IN_A_PAGE,
    )
    listed: pages.Page[TurnObject] = pages.page(
        turn.vault,
        msgspec.structs.replace(asked, limit=min(asked.limit, fits)),
        lambda after, count: page_turns(
            turn.connection, row.id, after=0 if after is None else after[0], count=count
        ),
        lambda found: (found.number, row.id),
        lambda found: [turn_object(each, contents) for each in found],
    )
    shown = conversation_object(row, contents)
    fields = {name: getattr(shown, name) for name in ConversationObject.__struct_fields__}
    return WholeConversation(**fields, turns=listed)


def remove_conversation(turn: TenantTransaction, conversation: str) -> DeletedConversation:
    """Take one away with all that was said in it. Raises NotFoundError."""
    known = is_id(conversation)
    if not known or not delete_conversation(
        turn.connection, turn.caller.project, conversation, now_ns=turn.now_ns
    ):
        raise no_conversation()
    return DeletedConversation(id=conversation)


def forget_person(turn: TenantTransaction, query: Mapping[str, str]) -> DeletedConversations:
    """Take away all of a person's in the caller's project. Raises BadRequestError without `user_id`."""
    user = person_of(query)
    if user is None:
        raise BadRequestError(
            '"user_id" is missing; name whose conversations are to be deleted.',
            param="user_id",
            code="missing_field",
        )
    deleted = 0
    while found := delete_of_user(turn.connection, turn.caller.project, user, _AT_ONCE):
        deleted += found
    return DeletedConversations(user_id=user, deleted=deleted)


def conversation_of_id(turn: TenantTransaction, conversation: str) -> ConversationRow:
    """The caller's own one of that id. Raises NotFoundError."""
    found = None
    if is_id(conversation):
        found = find_conversation(turn.connection, turn.caller.project, conversation, now_ns=turn.now_ns)
    if found is None:
        raise no_conversation()
    return found


def contents_of(turn: TenantTransaction) -> Contents:
    """What reads and writes the contents of the caller's organisation."""
    encrypt = turn.plane.conversations.encrypt_conversations
    return Contents(turn.vault, lambda: turn.caller.organization, encrypt=encrypt)


def person_of(query: Mapping[str, str]) -> str | None:
    """The person that a query names, None for none. Raises BadRequestError (`user_id`)."""
    user = query.get("user_id")
    if user is not None and (not user or "\0" in user):
        raise BadRequestError('"user_id": name a person.', param="user_id", code="invalid_value")
    return user


def no_conversation() -> NotFoundError:
    """The answer for what does not exist, has expired, or, to the byte, is another project's."""
    return NotFoundError(
        "There is no conversation of that id here; check the id, or begin one with POST /v1/conversations.",
        param="conversation_id",
        code="conversation_not_found",
    )
