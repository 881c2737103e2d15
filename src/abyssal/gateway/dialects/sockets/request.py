"""A request on a socket as a dialect: read into an official chat request, answered in messages.

1. `prompt` is one user message; `messages` may stand in its place. All other fields are the official ones.
2. Without `stream` the answer is streamed.
3. A field that holds a credential never travels on.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.dialects.dialect import Reading
from abyssal.gateway.dialects.sockets.messages import is_given, string
from abyssal.gateway.dialects.sockets.words import Words
from abyssal.gateway.dialects.sockets.writer import SocketWriter
from abyssal.wire.chat_request import check_case
from abyssal.wire.errors import BadRequestError, ErrorBody, ErrorObject

_OWN = frozenset(("type", "prompt", "access_token", "token", "api_key", "resumable"))

_encoder = msgspec.json.Encoder()


class SocketRequest:
    """One request. `fields` are its message's; `default_model` answers where it names none, "" for none."""

    __slots__ = ("_default_model", "_fields", "_request_id", "_words")

    id_field = b""  # a socket has no heads

    def __init__(
        self, words: Words, fields: dict[str, msgspec.Raw], request_id: str, default_model: str
    ) -> None:
        self._words, self._fields = words, fields
        self._request_id, self._default_model = request_id, default_model

    def read(self, body: bytes) -> Reading:
        """The official request; `body` is not looked at: the message was read before. Raises ApiError."""
        given = self._fields
        asked: dict[str, object] = {name: value for name, value in given.items() if name not in _OWN}
        check_case(asked)
        if is_given(given, "prompt"):
            if is_given(given, "messages"):
                raise BadRequestError(
                    'Both "prompt" and "messages"; send one of them.', param="prompt", code="invalid_value"
                )
            asked["messages"] = [{"role": "user", "content": string(given, "prompt")}]
        elif not is_given(given, "messages"):
            raise BadRequestError(
                '"prompt" is missing; send it, or "messages".', param="prompt", code="missing_field"
            )
        if self._default_model and not is_given(given, "model"):
            asked["model"] = self._default_model
        if not is_given(given, "stream"):
            asked["stream"] = True
        conversation = string(given, "conversation_id") if is_given(given, "conversation_id") else ""
        return Reading(_encoder.encode(asked), SocketWriter(self._words, self._request_id, conversation))

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """The HTTP error body: the session makes a message of it, as of every refusal."""
        return _encoder.encode(ErrorBody(error))
