"""Who a reader tells of what it reads, and who takes the pieces of a body. No I/O."""

from __future__ import annotations

from typing import Protocol

from abyssal.gateway.exchange import Exchange, UploadExchange
from abyssal.wire.errors import ApiError

NO_UPLOADS: frozenset[bytes] = frozenset()


class Body(Protocol):
    """Who takes the pieces of a body."""

    def append(self, data: bytes, /) -> None: ...


class RequestSink(Protocol):
    """Who is told of what was read."""

    def took(self, exchange: Exchange, keep_alive: bool, http10: bool) -> None:
        """A whole request; `keep_alive` says whether the client may send another."""
        ...

    def offered(self, exchange: Exchange, upgrade: bytes) -> bool:
        """A whole request without a body that asks for `upgrade`; whether the connection changes to it."""
        ...

    def passed_over(self, data: bytes) -> None:
        """What came behind the request that changed the protocol."""
        ...

    def refused(self, error: ApiError) -> None:
        """A request that breaks the rules; nothing follows."""
        ...

    def began(
        self, exchange: UploadExchange, length: int | None, *, http10: bool, expects: bool
    ) -> Body | None:
        """The head of an upload, whose body follows: who takes it, or None if it has to wait for its turn."""
        ...

    def ended(self, exchange: UploadExchange, keep_alive: bool) -> None:
        """The upload that began is whole."""
        ...

    def progressed(self) -> None:
        """A head began or ended, or a piece of a body came."""
        ...

    def expected(self) -> None:
        """The client waits for `100 Continue` before it sends its body."""
        ...


class NextId(Protocol):
    """Names a request."""

    def __call__(self) -> str: ...
