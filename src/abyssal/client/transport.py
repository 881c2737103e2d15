"""What the client needs of a transport: requests in, answers out. Whoever keeps this may be one.

A transport makes one attempt per call, follows no redirects, and raises ApiConnectionError,
ApiTimeoutError or ProtocolError; a bad status is an answer like any other. Header names are in lower case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from abyssal.client.answer import Answer
from abyssal.client.request import Request
from abyssal.wire.errors import ApiTimeoutError


class PoolTimeoutError(ApiTimeoutError):
    """No connection became free in time. Waiting once more would not help: `pool_size` would."""

    retryable = False


class StreamedAnswer(Protocol):
    """An answer whose content is read as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def read(self) -> bytes:
        """What has come since the last read, at least a byte; b"" at the end and ever after."""
        ...

    def close(self, *, drain: bool = False) -> None:
        """Gives the connection back if the content was read to its end, else cuts it. Any number of times.

        With `drain` the end was announced (`[DONE]`): the little that may still come is read first, if it
        comes soon, so that the connection can be kept.
        """
        ...


class Transport(Protocol):
    """Requests in, answers out. Called from any number of threads."""

    def send(self, request: Request) -> Answer:
        """The whole answer. `request.total` limits it all, `request.timeout` its parts."""
        ...

    def open(self, request: Request) -> StreamedAnswer:
        """The answer as soon as its headers are there."""
        ...

    def close(self) -> None:
        """Lets go of idle connections. Any number of times."""
        ...


class AsyncStreamedAnswer(Protocol):
    """An answer whose content is read as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def read(self) -> Awaitable[bytes]:
        """What has come since the last read, at least a byte; b"" at the end and ever after."""
        ...

    async def aclose(self, *, drain: bool = False) -> None:
        """Gives the connection back if the content was read to its end, else cuts it. Any number of times.

        With `drain` the end was announced (`[DONE]`): the little that may still come is read first, if it
        comes soon, so that the connection can be kept.
        """
        ...


class AsyncTransport(Protocol):
    """Requests in, answers out. Called from any number of tasks, and of event loops one after another."""

    async def send(self, request: Request) -> Answer:
        """The whole answer. `request.total` limits it all, `request.timeout` its parts."""
        ...

    async def open(self, request: Request) -> AsyncStreamedAnswer:
        """The answer as soon as its headers are there."""
        ...

    async def aclose(self) -> None:
        """Lets go of idle connections. Any number of times."""
        ...
