"""What an inbound format is to the gateway. The canonical form is the official chat request and its chunks.

1. A request is read into the body of a chat request; from there on it is a call like any other: the same
   stages, limits and books.
2. The answer comes back in the official form, whatever the upstream speaks, and is written in the client's
   own. A `Writer` belongs to one request and knows what that asked for.
3. All of it is pure: bytes and values in, bytes and values out.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from abyssal.gateway.exchange import UpstreamRoute
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ErrorObject


class Writer(Protocol):
    """Writes one answer."""

    def answer(self, completion: ChatCompletion) -> bytes:
        """A whole answer, JSON."""
        ...

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """What one chunk of a stream becomes: whole server-sent events, or nothing."""
        ...

    def end(self) -> bytes:
        """What follows the last chunk of a stream that ended well."""
        ...

    def broken(self, error: ErrorObject) -> bytes:
        """How a stream that has begun tells of an error, as its last event."""
        ...


class Reading(msgspec.Struct):
    """A request that was read: the official chat request's body, and who writes its answer.

    The body holds each key once, in UTF-8, and nests no deeper than what was read: it is not checked again.
    `route` is where an upstream takes the request as it came, for which it must have passed `wire.guard`;
    `only` names the parameter that only that route knows, "" when the chat request says it all.
    """

    body: bytes
    writer: Writer
    route: UpstreamRoute | None = None
    only: str = ""


class Dialect(Protocol):
    """One inbound format. `id_field` is the header in which its clients look for a call's name, where that
    is not `x-request-id` alone; b"" where it is."""

    id_field: bytes

    def read(self, body: bytes) -> Reading:
        """Read a request's body. Raises ApiError; `param` names the field as this format does."""
        ...

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """An error as a whole answer's JSON; `status` is the HTTP status that it goes with."""
        ...
