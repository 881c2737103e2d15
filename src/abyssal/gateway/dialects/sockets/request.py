"""A request on a socket as a dialect: read into an official chat request, answered in messages.

1. `prompt` is one user message; `messages` may stand in its place. All other fields are the official ones.
2. Without `stream` the answer is streamed.
3. A field that holds a credential never travels on.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.dialects.dialect import Reading
from abyssal.gateway.dialects.sockets.messages import is_given, string_or_none
from abyssal.gateway.dialects.sockets.words import Words
from abyssal.gateway.dialects.sockets.writer import SocketWriter
from abyssal.wire.chat_request import check_case
from abyssal.wire.errors import BadRequestError, ErrorBody, ErrorObject

_OWN = frozenset(("type", "prompt", "access_token", "token", "api_key", "resumable"))

_encoder = msgspec.json.Encoder()


class SocketRequest:
    """One request: it waits for its turn, then it is what its call is read from.

    `fields` are its message's, and its own from here on; that had `size` bytes. `default_model` answers where
    none is named, "" for none. `request_id` is the call's, set when its turn comes.
    """

    __slots__ = ("_default_model", "_fields", "request_id", "resumable", "size", "words")

    id_field = b""  # a socket has no heads

    def __init__(
        self,
        words: Words,
        fields: dict[str, msgspec.Raw],
        default_model: str,
        size: int = 0,
        resumable: bool = False,
    ) -> None:
        self.words, self.size, self.resumable = words, size, resumable
        self._fields, self._default_model = fields, default_model
        self.request_id = ""

    def read(self, body: bytes) -> Reading:
        """The official request; `body` is not looked at: the message was read before. Raises ApiError."""
        given = self._fields
        prompt = string_or_none(given, "prompt")
        for name in _OWN.intersection(given):
            del given[name]
        check_case(given)
        asked: dict[str, object] = {}  # what is set beside the fields that travel on
        if is_given(given, "messages"):
            if prompt is not None:
                raise BadRequestError(
                    'Both "prompt" and "messages"; send one of them.', param="prompt", code="invalid_value"
                )
        elif prompt is None:
            raise BadRequestError(
                '"prompt" is missing; send it, or "messages".', param="prompt", code="missing_field"
            )
        else:
            asked["messages"] = [{"role": "user", "content": prompt}]
        if self._default_model and not is_given(given, "model"):
            asked["model"] = self._default_model
        if not is_given(given, "stream"):
            asked["stream"] = True
        conversation = string_or_none(given, "conversation_id") or ""
        body = _encoder.encode({**given, **asked} if asked else given)
        return Reading(body, SocketWriter(self.words, self.request_id, conversation))

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """The HTTP error body: the session makes a message of it, as of every refusal."""
        return _encoder.encode(ErrorBody(error))
