"""A journal, a database and what drains the one into the other, as a test drives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from abyssal.platform.drain import JournalDrain
from abyssal.stores.journal import JournalWriter, segments
from abyssal.stores.records import Opened, Settled
from abyssal.stores.sql.calls import CallStore
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.schema import usage

SEGMENT = 1024


def opened(call: str) -> Opened:
    return Opened(call, 5, "key_1", "m", "up", False)


def settled(call: str, tokens: int = 7, status: int = 200) -> Settled:
    return Settled(call, 9, "key_1", "m", "up", False, status, "", tokens, 1, 0, 0, False, 10, 20)


class FailingStore(CallStore):
    """A database that is locked when a test says so, before or after it took the rows."""

    fails = ""

    def add(self, settled: Any, failed: Any) -> None:
        if self.fails == "before":
            raise OSError("database is locked")
        super().add(settled, failed)
        if self.fails == "after":
            raise OSError("the connection broke, who knows when")


class Books:
    """A journal directory, a database, and drains over them that may be replaced as after a crash."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "journal"
        self.journal.mkdir()
        self.engine: Engine = open_database(sqlite_url(directory / "abyssal.db"))
        self.store = FailingStore(self.engine)
        self.observed: list[Any] = []
        self.writers: dict[str, JournalWriter] = {}
        self.restart()

    def restart(self) -> None:
        """A new control process."""
        self.observed = []
        self.drain = JournalDrain(self.journal, self.store, self.observed.append)

    def step(self, *live: str) -> int:
        """Move what is there; every other writer's process has ended, and with it what it had open."""
        for name in self.writers.keys() - set(live):
            end_process(self.writers.pop(name))
        return self.drain.step(lambda: live)

    def writer(self, name: str = "w", segment_bytes: int = SEGMENT) -> JournalWriter:
        made = self.writers[name] = JournalWriter(self.journal, name, segment_bytes=segment_bytes)
        return made

    @property
    def rows(self) -> dict[str, tuple[int, str, int]]:
        with self.engine.connect() as connection:
            found = connection.execute(
                select(usage.c.id, usage.c.status, usage.c.code, usage.c.prompt_tokens)
            )
            return {row[0]: (row[1], row[2], row[3]) for row in found}

    @property
    def files(self) -> list[tuple[str, int]]:
        return [(writer, number) for writer, number, _ in segments(self.journal)]

    def close(self) -> None:
        self.drain.close()
        self.engine.dispose()


def end_process(writer: JournalWriter) -> None:
    """What the end of its process does to it."""
    for segment in (writer._map, writer._spare[1] if writer._spare else None):
        if segment is not None:
            segment.close()
