"""Adds many rows to a table, each once, however often they are given. It does not know what a row means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError


class OnceRows:
    """Rows of `table`, tuples in the order of its columns; one whose primary key is there is left alone."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        # Compiled once: per-row work is then the driver's alone.
        if engine.dialect.name == "postgresql":
            insert = postgresql.insert(table).on_conflict_do_nothing()
            self._insert = str(insert.compile(dialect=postgresql.dialect(paramstyle="format")))
        else:
            insert = sqlite.insert(table).on_conflict_do_nothing()
            self._insert = str(insert.compile(dialect=sqlite.dialect(paramstyle="qmark")))
        self._lengths = [
            column.type.length if isinstance(column.type, String) else None for column in table.columns
        ]

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        """Store `rows` in one transaction."""
        if not rows:
            return
        try:
            self._add(rows)
        except DataError:
            # PostgreSQL holds texts to their length and takes no NUL. One such row must not keep the journal
            # from moving for ever.
            self._add([self._fitting(row) for row in rows])

    def _add(self, rows: list[tuple[Any, ...]]) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._insert, rows)

    def _fitting(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            value.replace("\0", "\ufffd")[:length] if isinstance(value, str) else value
            for value, length in zip(row, self._lengths, strict=True)
        )
