"""A link of the client's chain that stands right before the connection: what it hands on unchanged."""

from __future__ import annotations

from typing import Protocol

from abyssal.gateway.exchange import Client, RequestHead


class Connection(Client, Protocol):
    """What stands behind a link: the connection, or another link. Resumable streams ask more of it."""

    def hold(self, most: int | None) -> None:
        """Hold about `most` bytes that the client does not read, None for as many as usual."""
        ...


class Link:
    """Hands on everything but the answer itself."""

    def __init__(self, client: Connection) -> None:
        self._client = client

    @property
    def scheme(self) -> bytes:
        return self._client.scheme

    def address_of(self, head: RequestHead) -> str:
        return self._client.address_of(head)

    def abort(self) -> None:
        self._client.abort()

    def hold(self, most: int | None) -> None:
        self._client.hold(most)
