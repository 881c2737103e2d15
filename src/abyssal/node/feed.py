"""Keeps one worker's picture of who may do what: all of it at first, then what changes.

Each worker is followed on its own, by the version that it has: one that starts late, or reads slowly, delays
nobody. What reads the database is handed in; here is only the order.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from abyssal.gateway.link import LinkProtocol, Publish
from abyssal.node.faults import StoreUnavailableError
from abyssal.stores.snapshot import Snapshot

_log = logging.getLogger("abyssal.node")

_AGAIN = 1.0  # seconds until an unreachable database is asked again


class Pieces(Protocol):
    """Reads the pieces of the picture. Raises StoreUnavailableError."""

    async def begin(self) -> Snapshot: ...
    async def page(self, version: int, after: str) -> tuple[Snapshot, str]: ...
    async def since(self, version: int) -> Snapshot | None: ...


class Feed:
    """construct → `run`, cancelled when the worker is gone. `applied` is the version in force there."""

    def __init__(self, pieces: Pieces, link: LinkProtocol) -> None:
        self._pieces = pieces
        self._link = link
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self.applied = -1

    def changed(self) -> None:
        """Something may have changed: look."""
        self._changed.set()

    def took(self, version: int) -> None:
        """The worker says that `version` is in force."""
        self.applied = version
        self._moved.set()

    async def wait_applied(self, version: int) -> None:
        """Until `version` or a later one is in force in the worker."""
        while self.applied < version:
            self._moved.clear()
            await self._moved.wait()

    async def run(self) -> None:
        """Feed the worker until cancelled."""
        version: int | None = None
        while True:
            try:
                version = await (self._whole() if version is None else self._news(version))
            except StoreUnavailableError as error:
                _log.error("keys cannot be read from the database now, trying again: %s", error)
                await asyncio.sleep(_AGAIN)
            except Exception:  # noqa: BLE001  a worker that hears of no more revocations is worse than any
                _log.exception("keys cannot be told to a worker, beginning anew")
                version = None
                await asyncio.sleep(_AGAIN)

    async def _whole(self) -> int:
        piece = await self._pieces.begin()
        version, after = piece.version, ""
        while True:
            self._link.send(Publish(piece))
            await self._link.drain()
            if piece.last:
                return version
            piece, after = await self._pieces.page(version, after)

    async def _news(self, version: int) -> int:
        await self._changed.wait()
        self._changed.clear()
        try:
            piece = await self._pieces.since(version)
        except Exception:
            self._changed.set()
            raise
        if piece is None:
            return version
        if piece.whole:  # the database was set back
            return await self._whole()
        self._link.send(Publish(piece))
        return piece.version
