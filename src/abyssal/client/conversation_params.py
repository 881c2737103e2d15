"""What may be asked of conversations that the platform keeps: the arguments of `client.conversations`.

Source: the platform's API, "Conversations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from abyssal.client.params import CallOptions, MessageParam, PageOptions, request_body


class ConversationParams(CallOptions, total=False):
    """Those of `conversations.create`."""

    title: str | None
    metadata: Mapping[str, str] | None
    user_id: str | None
    """Whose it is: who asks what is known of them, or to be forgotten, is named by this."""
    system_prompt: str | None
    messages: Sequence[MessageParam] | None
    """What stands before every call: system messages, or a history to go on from."""
    ttl: int | None
    """Seconds after the last turn, when it is gone; None is the service's usual time."""
    idempotency_key: str | None
    """None: one is made for this call, so that its retries begin one conversation only."""
    extra_body: Mapping[str, object] | None


class ConversationListParams(PageOptions, total=False):
    """Those of `conversations.list`."""

    user_id: str | None


_CONVERSATION = frozenset(ConversationParams.__annotations__)


def conversation_body(params: ConversationParams) -> dict[str, object]:
    """The body. Raises TypeError for arguments that do not exist."""
    body = request_body("create", params, _CONVERSATION, ())
    body.pop("idempotency_key", None)
    return body
