"""What workers ask the control process over the link: one table from topics to services."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from abyssal.platform.conversations.calls import append_turn, open_conversation, release_conversation
from abyssal.platform.files.reading import read_files
from abyssal.platform.plane import ControlPlane
from abyssal.stores.conversation_inquiries import APPEND, OPEN, RELEASE
from abyssal.stores.file_inquiries import READ
from abyssal.wire.errors import ApiError, InternalServerError, NotFoundError

Service = Callable[[bytes, ControlPlane], Awaitable[bytes]]

TOPICS: Mapping[str, Service] = {
    OPEN: open_conversation,
    APPEND: append_turn,
    RELEASE: release_conversation,
    READ: read_files,
}

_log = logging.getLogger("abyssal.node")


async def answer_to(
    topic: str, body: bytes, plane: ControlPlane, topics: Mapping[str, Service] = TOPICS
) -> tuple[int, bytes]:
    """The answer to a question: 200 and what the service says, or an error's status and its object."""
    try:
        service = topics.get(topic)
        if service is None:
            raise NotFoundError(f'No service answers "{topic}".', code="route_not_found")
        return 200, await service(body, plane)
    except ApiError as error:
        return error.status_code, error.as_json()
    except Exception as fault:  # noqa: BLE001  whatever it is, who asked must hear of it
        _log.exception("the service %s failed", topic)
        return 500, InternalServerError(f"The platform failed ({type(fault).__name__}).").as_json()
