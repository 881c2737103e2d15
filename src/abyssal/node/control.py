"""The control process's own work with SQL: keys out, journal in, metrics; all on one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from abyssal.clock import Clock
from abyssal.stores.snapshot import Snapshot

if TYPE_CHECKING:
    from abyssal.platform.first_key import FirstKey
    from abyssal.platform.metrics import Moment

DATABASE = "abyssal.db"

T = TypeVar("T")


class StoreUnavailableError(Exception):
    """The database or the journal's directory cannot be used now; nothing is lost, trying again may help."""


class Opened(msgspec.Struct, frozen=True):
    """What opening gave: the first snapshot and what was done about the first key."""

    snapshot: Snapshot
    first_key: FirstKey


class Control:
    """construct → `open` → `poll`, `drain`, `render_metrics` → `close`; each runs on the control thread."""

    def __init__(
        self, data: Path, clock: Clock, *, version: str, moment: Callable[[], Moment], first_key: str
    ) -> None:
        self._data = data
        self._clock = clock
        self._version = version
        self._moment = moment
        self._given_key = first_key
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._snapshots = 0

    async def open(self) -> Opened:
        """Open the database, see to the first key, replay the journal of whoever wrote before."""
        return await self._run(self._open)

    async def poll(self) -> Snapshot | None:
        """A new snapshot when the database changed since the last look."""
        return await self._run(self._poll)

    async def drain(self, live: Callable[[], list[str]]) -> int:
        """Move the journal into SQL; `live` names the writers at work, on the control thread."""
        return await self._run(lambda: self._drain.step(live))

    async def render_metrics(self, live: Callable[[], list[str]]) -> bytes:
        """The Prometheus text, with everything that is in the journal now."""

        def render() -> bytes:
            self._drain.step(live)
            return self._metrics.render()

        return await self._run(render)

    async def close(self) -> None:
        """Let go of the database."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    @staticmethod
    def _guarded(work: Callable[[], T]) -> T:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return work()
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailableError(str(error).partition("\n")[0]) from error

    def _open(self) -> Opened:
        # SQLAlchemy takes half a second to import: here, while the other processes start.
        from abyssal.platform.drain import JournalDrain
        from abyssal.platform.first_key import ensure_first_key
        from abyssal.platform.metrics import Metrics
        from abyssal.stores.sql.database import ChangeWatch, open_database
        from abyssal.stores.sql.keys import KeyStore
        from abyssal.stores.sql.usage import UsageStore

        self._engine = open_database(self._data / DATABASE, one_connection=True)
        self._keys = KeyStore(self._engine)
        first = ensure_first_key(self._keys, self._data, self._given_key, now_ns=self._clock.unix_ns())
        self._watch = ChangeWatch(self._engine)
        self._metrics = Metrics(self._version, self._moment)
        journal = self._data / "journal"
        self._drain = JournalDrain(journal, UsageStore(self._engine), self._metrics.take)
        return Opened(self._snapshot(), first)

    def _poll(self) -> Snapshot | None:
        return self._snapshot() if self._watch.changed() else None

    def _snapshot(self) -> Snapshot:
        self._snapshots += 1
        return Snapshot(self._snapshots, self._keys.live())

    def _close(self) -> None:
        if hasattr(self, "_drain"):
            self._drain.close()
            self._engine.dispose()
