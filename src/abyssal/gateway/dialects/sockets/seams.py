"""What a session needs of its connection, and of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.exchange import Exchange, RequestHead


class Socket(Protocol):
    """What a session needs of its connection. Nothing can be written once `close` was called."""

    @property
    def scheme(self) -> bytes: ...
    @property
    def draining(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    @property
    def now(self) -> Callable[[], float]: ...
    @property
    def next_id(self) -> Callable[[], str]: ...
    def address_of(self, head: RequestHead) -> str: ...
    def write(self, data: bytes) -> None: ...
    def hold(self, most: int | None) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Resuming(Protocol):
    """Answers that can be read on, as a session sees them."""

    def socket_call(self, exchange: Exchange, dialect: Dialect, words: bytes) -> None:
        """As `Stages.call`; `words` is the name of the messages' dialect."""
        ...

    def socket_resume(self, exchange: Exchange, last_event_id: bytes) -> None:
        """Let `exchange` read on what followed that event."""
        ...

    def stop(self, exchange: Exchange) -> None:
        """End what is at work on `exchange`; nobody will come back to it."""
        ...


class Stages(NamedTuple):
    """The pipeline as a session sees it. `scope` is the bit of `stores.rights` that its calls need."""

    identify: Callable[[Exchange, Callable[[Exchange], None]], None]
    call: Callable[[Exchange, Dialect], None]
    resuming: Resuming
    scope: int
    default_model: str = ""
