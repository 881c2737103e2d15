"""What may be asked of conversations that the platform keeps: the arguments of `client.conversations`.

Source: the platform's API, "Conversations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from abyssal.client.params import CallOptions, MessageParam, request_body


class PageOptions(CallOptions, total=False):
    """Which page of a list."""

    limit: int | None
    """How many at most."""
    after: str | None
    """Those that come after this: a page's `next`."""


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


def query(method: str, params: Mapping[str, object], known: Mapping[str, object]) -> str:
    """The arguments as a query with its question mark, "" for none. Raises TypeError as `request_body`."""
    fields = request_body(method, params, frozenset(known), ())
    return f"?{urlencode(fields)}" if fields else ""


def id_path(method: str, given: str) -> str:
    """A thing's id as the end of a path. Raises TypeError for one that is none."""
    if not isinstance(given, str) or not given:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{method}() needs an id, a string that is not empty; not {given!r}")
    return f"/{quote(given, safe='')}"
