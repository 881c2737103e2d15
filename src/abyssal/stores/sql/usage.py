"""The usage table: one row per call that reached an upstream."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import sqlite

from abyssal.stores.records import Settled
from abyssal.stores.sql.schema import usage


class UsageTotal(msgspec.Struct, frozen=True):
    """Calls and tokens of one model."""

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int


class UsageStore:
    """Adds settled calls and sums them up."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Compiled once: per-row work is then the driver's alone.
        statement = usage.insert().prefix_with("OR IGNORE", dialect="sqlite")
        self._insert = str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))

    def add(self, rows: Sequence[Settled]) -> None:
        """Store `rows` in one transaction; a row whose id is there already is left as it is."""
        if not rows:
            return
        values = [msgspec.structs.astuple(row) for row in rows]
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._insert, values)

    def totals(self) -> list[UsageTotal]:
        """Calls and tokens per model, by name."""
        query = (
            select(
                usage.c.model,
                func.count(),
                func.sum(usage.c.prompt_tokens),
                func.sum(usage.c.completion_tokens),
            )
            .group_by(usage.c.model)
            .order_by(usage.c.model)
        )
        with self._engine.connect() as connection:
            return [UsageTotal(*row) for row in connection.execute(query)]
