"""What may be asked over WebSocket: the arguments of `client.stream`, and the message that asks it.

Source: the platform's specification, section 3, the dialect in which the socket stays open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from abyssal.client.params import MessageParam, ToolOptions, request_body
from abyssal.client.request import encode_body
from abyssal.client.routes import CHAT_SOCKET, SOCKET, Route

NO_PROXY = (
    "A WebSocket is opened directly, not over the proxy that the environment names; where none can be, use "
    "chat.completions.create(stream=True)."
)


class SocketParams(ToolOptions, total=False):
    """All arguments but the prompt."""

    model: str | None
    """Which model; None is the service's choice."""
    messages: Sequence[MessageParam] | None
    """In place of the prompt: all turns, as for `chat.completions.create`."""
    tools: Sequence[Mapping[str, object]] | None


_KNOWN = frozenset({*SocketParams.__annotations__, "prompt"})


def socket_request(prompt: str | None, params: SocketParams) -> tuple[Route, bytes]:
    """The route and the message, UTF-8 JSON.

    Raises TypeError for arguments that do not exist and when there is not one of prompt and messages, and
    ConfigurationError for what has no JSON form.
    """
    if (prompt is None) == (params.get("messages") is None):
        raise TypeError("stream() needs a prompt or messages, and not both")
    body = request_body("stream", {**params, "prompt": prompt}, _KNOWN, ())
    route = SOCKET if "model" in body else CHAT_SOCKET
    return route, encode_body({"type": "request", **body})


CANCEL = b'{"type":"cancel"}'


def is_cancelled(message: bytes) -> bool:
    """Whether `message` says that a cancelling was heard."""
    return message.startswith(b'{"type":"cancelled"')


def resume_request(last_id: str) -> bytes:
    """The message that asks for what came after the message with the id `last_id`."""
    return encode_body({"type": "resume", "last_event_id": last_id})
