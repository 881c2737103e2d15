"""What came back: a whole answer, and the typed value in it.

Knows what a good answer looks like; what a bad one means is `faults`' matter. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from abyssal.client import faults
from abyssal.client.settings import Secret
from abyssal.wire.chat import ChatCompletion, ModelList

T = TypeVar("T")

_completion = msgspec.json.Decoder(ChatCompletion).decode
_models = msgspec.json.Decoder(ModelList).decode
_anything = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Answer:
    """A whole answer as a transport hands it over. `headers` have lower-case names."""

    __slots__ = ("content", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def request_id(self) -> str | None:
        """What the service calls this request, to be named when help is asked for."""
        return faults.request_id_of(self.headers)


class RawResponse(Answer, Generic[T]):
    """An answer as it came: `status`, `headers` (lower-case names), `content`, `request_id`."""

    __slots__ = ("_parse", "_secret")

    def __init__(self, answer: Answer, parse: Callable[[Answer, Secret], T], secret: Secret) -> None:
        super().__init__(answer.status, answer.headers, answer.content)
        self._parse = parse
        self._secret = secret

    def parse(self) -> T:
        """The value that the plain method returns. Raises ProtocolError if the content is not that."""
        return self._parse(self, self._secret)

    def json(self) -> Any:
        """The content as plain dicts, lists and scalars. Raises ProtocolError if it is not JSON."""
        return parse_json(self, self._secret)

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 become U+FFFD."""
        return self.content.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"RawResponse(status={self.status}, {len(self.content)} bytes)"


def parse_completion(answer: Answer, secret: Secret) -> ChatCompletion:
    """The chat completion in `answer`. `secret` is kept out of errors, here and below.

    Raises ProtocolError if it is none, and the right ApiError if an error hides behind a good status.
    """
    completion = decoded(answer, _completion, "a chat completion", secret)
    if not completion.choices:
        hidden = faults.error_in_event(answer.content, answer.request_id, secret)
        raise hidden or faults.not_expected(
            answer.headers, answer.content, "a chat completion", "it has no choices", secret
        )
    msgspec.structs.force_setattr(completion, "request_id", answer.request_id)
    return completion


def parse_models(answer: Answer, secret: Secret) -> ModelList:
    """The list of models in `answer`. Raises ProtocolError if it is none."""
    models = decoded(answer, _models, "a list of models", secret)
    msgspec.structs.force_setattr(models, "request_id", answer.request_id)
    return models


def parse_json(answer: Answer, secret: Secret) -> Any:
    """Whatever JSON `answer` holds, as plain values. Raises ProtocolError if it holds none."""
    return decoded(answer, _anything, "JSON", secret)


def decoded(answer: Answer, decode: Callable[[bytes], T], wanted: str, secret: Secret) -> T:
    """The content as `decode` reads it, which may raise msgspec.DecodeError. Raises ProtocolError."""
    try:
        return decode(answer.content)
    except _UNREADABLE as error:
        raise faults.not_expected(answer.headers, answer.content, wanted, error, secret) from None
