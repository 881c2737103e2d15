"""Moves the journal into SQL and metrics, and removes what is moved.

1. Every segment is read from its start, live writers' too; a call that was read is a row, once, because
   its id is the primary key. So a crash at any point is cured by reading again.
2. A segment is complete when its successor has begun or its writer is dead. It is removed when every
   record in it is in SQL and every call opened in it has been settled. A writer that is not this node's lives
   while it has a segment locked: the worker of a predecessor that was killed finishes its calls.
3. A call that a dead writer opened and did not settle becomes a row that says so (`worker_lost`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from abyssal.stores.journal import Segment, SegmentReader, has_begun, segments
from abyssal.stores.records import Failed, Opened, Record, Settled
from abyssal.stores.sql.calls import CallStore

_BATCH = 2000  # rows per transaction


class JournalDrain:
    """See the module. One thread only. `observe` sees every record once per life of this object."""

    def __init__(self, directory: Path, calls: CallStore, observe: Callable[[Record], None]) -> None:
        self._directory = directory
        self._calls = calls
        self._observe = observe
        self._readers: dict[Path, SegmentReader] = {}
        self._open: dict[str, tuple[Path, Opened]] = {}
        self._pending: list[Settled] = []
        self._failed: list[Failed] = []

    def step(self, live: Callable[[], Iterable[str]]) -> int:
        """Move what is there; `live` tells which writers may still write. Gives the rows moved.

        Raises whatever the database raises; nothing is lost then, and the next step tries again.
        """
        # Asked twice: a writer that dies after the first answer may have more segments than are found, one
        # that began after it is in the second only. Only who is in neither is surely dead.
        alive = set(live())
        found = segments(self._directory)
        alive.update(live())
        begun = {(writer, number) for writer, number, path in found if has_begun(path)}
        moved = 0
        for _, _, path in found:
            reader = self._readers.get(path)
            if reader is None:
                reader = self._readers[path] = SegmentReader(path)
            for record in reader.read():
                self._take(record, path)
                if len(self._pending) >= _BATCH:
                    moved += self._flush()
        dead = self._dead({writer for writer, _, _ in found} - alive, found)
        if dead:
            self._settle_lost({path for writer, _, path in found if writer in dead})
        moved += self._flush()
        held = {path for path, _ in self._open.values()}
        for writer, number, path in found:
            complete = writer in dead or (writer, number + 1) in begun
            if complete and path not in held:
                self._readers.pop(path).close()
                path.unlink(missing_ok=True)
        return moved

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def take(self, failed: Failed) -> None:
        """Take a failed attempt that was met in this process, not in a worker."""
        self._observe(failed)
        self._failed.append(failed)

    def _take(self, record: Record, path: Path) -> None:
        self._observe(record)
        if isinstance(record, Settled):
            self._open.pop(record.id, None)
            self._pending.append(record)
        elif isinstance(record, Opened):
            self._open[record.id] = (path, record)
        elif isinstance(record, Failed):
            self._failed.append(record)

    def _dead(self, strangers: set[str], found: list[Segment]) -> set[str]:
        """Who of `strangers` has no segment locked, and has not gone on to one that was not found yet."""
        if not strangers:
            return strangers
        at_work = {
            writer for writer, _, path in found if writer in strangers and self._readers[path].is_written()
        }
        return strangers - at_work - {name for name, _, _ in set(segments(self._directory)) - set(found)}

    def _settle_lost(self, paths: set[Path]) -> None:
        for path, opened in [pair for pair in self._open.values() if pair[0] in paths]:
            lost = Settled(
                opened.id, opened.at, opened.key_id, opened.model, opened.upstream, opened.stream,
                500, "worker_lost", 0, 0, 0, 0, True, 0, 0,
            )  # fmt: skip
            self._take(lost, path)

    def _flush(self) -> int:
        rows = self._pending
        if rows or self._failed:
            self._calls.add(rows, self._failed)
        self._pending, self._failed = [], []
        return len(rows)
