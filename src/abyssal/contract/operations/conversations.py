"""The routes of conversations: words, answers and examples."""

from __future__ import annotations

from typing import Literal

from abyssal.contract.operation import JSON, Answer, Body, Operation, Parameter
from abyssal.contract.operations.management import PAGE, REPEATABLE
from abyssal.platform.conversations.drafts import ConversationDraft
from abyssal.platform.conversations.objects import (
    ConversationObject,
    DeletedConversation,
    DeletedConversations,
    WholeConversation,
)
from abyssal.platform.identity.pages import Page

_ROOT = "/v1/conversations"
_ID = Parameter("id", "path", "Its id, such as `conv_0f3c…`.", required=True)
_NAMES = (("id", "CONVERSATION_ID"),)

CONVERSATIONS: tuple[Operation, ...] = (
    Operation(
        id="createConversation",
        python='client.conversations.create(system_prompt="Be brief.")',
        method="POST",
        path=_ROOT,
        tag="Conversations",
        summary="Begin a conversation",
        says="Its id goes into `conversation_id` of a call, which then sends only what is new.",
        scope="chat",
        parameters=(REPEATABLE,),
        bodies=(Body(JSON, ConversationDraft),),
        answers=(Answer("The conversation.", (Body(JSON, ConversationObject),), 201),),
        errors=(409, 413, 415),
        example={"system_prompt": "Be brief."},
    ),
    Operation(
        id="listConversations",
        python="client.conversations.list()",
        method="GET",
        path=_ROOT,
        tag="Conversations",
        summary="List or export conversations",
        says="Those of the credential's project, oldest first.",
        scope="chat",
        parameters=(
            *PAGE,
            Parameter("user_id", "query", "Only those of this person."),
            Parameter(
                "format",
                "query",
                "All of them, each before its turns, a line for each.",
                Literal["jsonl"],
            ),
        ),
        answers=(
            Answer(
                "A page, or all of them as JSON Lines.",
                (Body(JSON, Page[ConversationObject]), Body("application/jsonl")),
            ),
        ),
    ),
    Operation(
        id="deleteConversationsOfPerson",
        python='client.conversations.delete_all(user_id="nobody")',
        method="DELETE",
        path=_ROOT,
        tag="Conversations",
        summary="Delete all conversations of a person",
        scope="chat",
        parameters=(Parameter("user_id", "query", "Whose.", required=True),),
        answers=(Answer("How many there were.", (Body(JSON, DeletedConversations),)),),
        query="?user_id=nobody",
    ),
    Operation(
        id="showConversation",
        python="client.conversations.retrieve(conversation_id)",
        method="GET",
        path=f"{_ROOT}/{{id}}",
        tag="Conversations",
        summary="Show a conversation and its turns",
        scope="chat",
        parameters=(_ID, *PAGE),
        answers=(Answer("The conversation with a page of its turns.", (Body(JSON, WholeConversation),)),),
        errors=(404,),
        names=_NAMES,
    ),
    Operation(
        id="deleteConversation",
        python="client.conversations.delete(conversation_id)",
        method="DELETE",
        path=f"{_ROOT}/{{id}}",
        tag="Conversations",
        summary="Delete a conversation",
        scope="chat",
        parameters=(_ID,),
        answers=(Answer("It is gone.", (Body(JSON, DeletedConversation),)),),
        errors=(404,),
        names=_NAMES,
    ),
)
