"""The control process's own work with SQL: the picture out, the journal in, upkeep.

What writes is on one thread, with a connection of its own. What workers are told is read on another: one that
starts must hear of every key also while somebody else holds the database's write lock, and an ended key must
not wait for a journal that is being moved.

A change by somebody else (a command, another replica) is noticed by `poll`; a change by this process's own
routes is known to them. Either way the workers are told by version (`stores.sql.publication`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from abyssal.clock import Clock
from abyssal.config import Config, files_directory
from abyssal.node.faults import StoreUnavailableError
from abyssal.platform.conversations.ordering import Ordering
from abyssal.stores.blobs import BlobDirectory
from abyssal.stores.records import Failed
from abyssal.stores.snapshot import Snapshot
from abyssal.wire.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from abyssal.platform.first_key import FirstKey
    from abyssal.platform.metrics import Moment
    from abyssal.platform.plane import ControlPlane

T = TypeVar("T")

_log = logging.getLogger("abyssal.node")

_MINUTE, _HOUR = 60 * 10**9, 3600 * 10**9  # nanoseconds
_RENEW_EVERY = 5 * 10**9  # a third of a lease
_REFUSALS_KEPT = 30 * 24 * _HOUR
_MOST_UNWRITTEN = 10_000  # failed attempts at /oauth that wait for the next look


class Control:
    """construct → `open` → everything else → `close`."""

    def __init__(
        self,
        config: Config,
        data: Path,
        environ: Mapping[str, str],
        clock: Clock,
        *,
        version: str,
        moment: Callable[[], Moment],
        first_key: str,
    ) -> None:
        self._config = config
        self._data = data
        self._environ = environ
        self._clock = clock
        self._version = version
        self._moment = moment
        self._given_key = first_key
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="publication")
        self._blobs = BlobDirectory(files_directory(config, data))
        self._failed: deque[Failed] = deque(maxlen=_MOST_UNWRITTEN)
        self._upkeep_at = self._aged_at = 0
        self._old_secrets = 0
        self._rendering: asyncio.Task[bytes] | None = None  # the next, which those who ask now share
        self._is_open = asyncio.Event()
        self._ordering = Ordering(config.conversations.waiting)
        self._renewed_at = 0

    async def open(self) -> FirstKey:
        """Open the database, see to the first key, replay the journal of whoever wrote before."""
        first = await self._run(self._open)
        self._is_open.set()
        return first

    async def wait_open(self) -> None:
        """Until the database is open."""
        await self._is_open.wait()

    def plane(self, issuer: str, in_force: Callable[[], Awaitable[bool]]) -> ControlPlane:
        """What routes and services are given."""
        from abyssal.platform.plane import ControlPlane

        return ControlPlane(
            engine=self._engine,
            vault=self._vault,
            clock=self._clock,
            identity=self._config.identity,
            files=self._config.files,
            blobs=self._blobs,
            issuer=issuer,
            run=self._run_for_routes,
            in_force=in_force,
            failed=self._note_failure,
            conversations=self._config.conversations,
            ordering=self._ordering,
        )

    # --- the workers' picture -------------------------------------------------------------------------

    async def begin(self) -> Snapshot:
        """The first piece of the whole picture, as soon as the database is open."""
        await self._is_open.wait()
        return await self._read(self._publication.begin)

    async def page(self, version: int, after: str) -> tuple[Snapshot, str]:
        """The next credentials of it."""
        return await self._read(lambda: self._publication.page(version, after))

    async def since(self, version: int) -> Snapshot | None:
        """What changed after `version`."""
        return await self._read(lambda: self._publication.since(version))

    async def revision(self) -> int:
        """The newest version."""
        return await self._read(self._publication.revision)

    async def poll(self) -> bool:
        """Whether somebody changed the database since the last look; perhaps this process itself."""
        return await self._read(self._watch.changed)

    # --- the journal and upkeep -----------------------------------------------------------------------

    async def drain(self, live: Callable[[], list[str]]) -> int:
        """Move the journal into SQL; `live` names the writers at work, on the control thread."""
        return await self._run(lambda: self._move(live))

    async def upkeep(self) -> bool:
        """What is due once a minute; True when the workers' picture changed by it."""
        now = self._clock.unix_ns()
        if 0 <= now - self._upkeep_at < _MINUTE:
            return False
        self._upkeep_at = now
        return await self._run(self._keep_up)

    async def renew_leases(self) -> None:
        """Let calls in conversations go on holding them; what is due every few seconds."""
        held, now = self._ordering.holding(), self._clock.unix_ns()
        if not held or 0 <= now - self._renewed_at < _RENEW_EVERY:
            return
        from abyssal.platform.conversations.calls import renew

        self._renewed_at = now
        await self._run(lambda: renew(self._engine, held, now_ns=now))

    async def end_worker(self, writer: str) -> None:
        """A worker is gone, and with it its calls: who waits for a conversation of theirs goes on."""
        held = self._ordering.holding(writer)
        try:
            if held:
                from abyssal.platform.conversations.calls import release

                await self._run(lambda: release(self._engine, held))
        except StoreUnavailableError as error:
            _log.error("conversations of a lost worker stay taken until their leases run out: %s", error)
        finally:
            self._ordering.end(writer)

    async def render_metrics(self, live: Callable[[], list[str]]) -> bytes:
        """The Prometheus text, with everything that is in the journal now."""

        if self._rendering is None:

            def render() -> bytes:
                self._rendering = None  # who asks from now on may be told more
                try:
                    self._guarded(lambda: self._move(live))
                except StoreUnavailableError as error:  # what was read is counted, and moved later
                    _log.error("metrics are told without the database: %s", error)
                self._metrics.old_secrets = self._old_secrets
                return self._metrics.render()

            self._rendering = asyncio.get_running_loop().create_task(self._run(render))
        return await asyncio.shield(self._rendering)

    async def close(self) -> None:
        """Let go of the database."""
        try:
            await self._read(self._close_reading)
            await self._run(self._close)
        finally:
            self._thread.shutdown()
            self._reader.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._guarded, work)

    async def _run_for_routes(self, work: Callable[[], T]) -> T:
        try:
            return await self._run(work)
        except StoreUnavailableError as error:
            _log.error("a route could not use the database: %s", error)
            raise UnavailableError(
                "The platform's database cannot be used at the moment; try again shortly.",
                code="store_unavailable",
                retry_after=1,
            ) from None

    def _guarded(self, work: Callable[[], T]) -> T:
        from sqlalchemy.exc import SQLAlchemyError

        from abyssal.stores.sealing import SealError

        try:
            return work()
        except (SQLAlchemyError, OSError, SealError) as error:
            raise StoreUnavailableError(str(error).partition("\n")[0]) from error
        except ConfigurationError as error:  # at the start it is for the operator; later, such as a master
            if not self._is_open.is_set():  # key that was taken away, it must not end anything
                raise
            raise StoreUnavailableError(error.message) from error

    def _note_failure(self, *, address: str, way: str, reason: str, credential: str) -> None:
        self._failed.append(Failed(self._clock.unix_ns(), address, way, reason, credential[:40]))

    # --- on the control thread ------------------------------------------------------------------------

    def _open(self) -> FirstKey:
        # SQLAlchemy takes half a second to import: here, while the other processes start.
        from abyssal.platform.drain import JournalDrain
        from abyssal.platform.first_key import ensure_first_key
        from abyssal.platform.metrics import Metrics
        from abyssal.stores.master_key import open_master_keys
        from abyssal.stores.sql.calls import CallStore
        from abyssal.stores.sql.conversations import release_all_leases
        from abyssal.stores.sql.database import database_url, open_database
        from abyssal.stores.sql.publication import Publication
        from abyssal.stores.sql.vault import Vault
        from abyssal.stores.sql.watch import ChangeWatch

        config, now = self._config, self._clock.unix_ns()
        url = database_url(config.stores, self._data, self._environ)
        self._engine = open_database(url, one_connection=True)
        keys = open_master_keys(config.identity.master_key, self._data, self._environ)
        self._vault = Vault(self._engine, keys)
        self._vault.prepare(now_ns=now)
        if self._engine.dialect.name == "sqlite":  # a file is one node's: whoever held a lease is dead
            with self._engine.begin() as connection:
                release_all_leases(connection)
        first = ensure_first_key(self._engine, self._vault, self._data, self._given_key, now_ns=now)
        self._reading = open_database(url, one_connection=True, migrate=False)
        self._watch = ChangeWatch(self._reading)
        self._publication = Publication(self._reading, self._vault, self._clock)
        self._metrics = Metrics(self._version, self._moment)
        self._drain = JournalDrain(self._data / "journal", CallStore(self._engine), self._metrics.take)
        return first

    def _move(self, live: Callable[[], list[str]]) -> int:
        while self._failed:
            self._drain.take(self._failed.popleft())
        return self._drain.step(live)

    def _keep_up(self) -> bool:
        from abyssal.platform.conversations.ageing import forget_expired
        from abyssal.platform.oauth.token_keys import rotate_if_due
        from abyssal.stores.sql.refusals import RefusalStore

        now, identity = self._clock.unix_ns(), self._config.identity
        forget_expired(self._engine, now_ns=now)
        self._keep_files(now, crashes=not 0 <= now - self._aged_at < _HOUR)
        if not 0 <= now - self._aged_at < _HOUR:
            self._aged_at = now
            RefusalStore(self._engine).forget(now - _REFUSALS_KEPT)
            self._warn_of_old(now)
        return rotate_if_due(self._engine, self._vault, now_ns=now, days=identity.token_key_days)

    def _keep_files(self, now: int, *, crashes: bool) -> None:
        from abyssal.platform.files.upkeep import clear_transit, remove_expired

        try:
            remove_expired(self._engine, self._blobs, now_ns=now)
            if crashes:
                clear_transit(self._engine, self._blobs, now_ns=now)
        except OSError as error:  # a disk of its own, perhaps: the rest of the upkeep does not need it
            _log.error("stored files cannot be seen to now: %s", error)

    def _warn_of_old(self, now: int) -> None:
        from abyssal.platform.identity.ageing import count_old, warn_of_old_secrets

        identity = self._config.identity
        for old in warn_of_old_secrets(self._engine, now_ns=now, rotate_after_days=identity.rotate_after):
            _log.warning(
                "a secret of %s (%s) is older than %d days; rotate it",
                old.credential_id,
                old.name,
                identity.rotate_after,
            )
        with self._engine.connect() as connection:
            self._old_secrets = count_old(connection, now_ns=now, rotate_after_days=identity.rotate_after)

    def _close(self) -> None:
        if hasattr(self, "_drain"):
            self._drain.close()
            self._engine.dispose()

    def _close_reading(self) -> None:
        if hasattr(self, "_watch"):
            self._watch.close()
            self._reading.dispose()
