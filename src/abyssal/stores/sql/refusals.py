"""The table of failed attempts to prove who one is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from abyssal.stores.sql.once import OnceRows
from abyssal.stores.sql.schema import refusals


class RefusalStore:
    """Adds failed attempts. A row: id, Unix nanoseconds, address, way, reason, credential's id or ""."""

    def __init__(self, engine: Engine) -> None:
        self._rows = OnceRows(engine, refusals)

    def add(self, rows: Sequence[tuple[str, int, str, str, str, str]]) -> None:
        """Store `rows` in one transaction; a row whose id is there already is left as it is."""
        self._rows.add(list(rows))
