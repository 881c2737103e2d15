"""The table of failed attempts to prove who one is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, delete

from abyssal.stores.sql.once import OnceRows
from abyssal.stores.sql.schema import refusals


class RefusalStore:
    """Adds failed attempts. A row: id, Unix nanoseconds, address, way, reason, credential's id or ""."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows = OnceRows(engine, refusals)

    def forget(self, before_ns: int) -> int:
        """Remove those before `before_ns` (Unix nanoseconds); how many they were."""
        with self._engine.begin() as connection:
            return connection.execute(delete(refusals).where(refusals.c.at < before_ns)).rowcount

    def add(self, rows: Sequence[tuple[str, int, str, str, str, str]]) -> None:
        """Store `rows` in one transaction; a row whose id is there already is left as it is."""
        self._rows.add(list(rows))
