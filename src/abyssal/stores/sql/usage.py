"""The usage table: one row per call that reached an upstream."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine, func, select

from abyssal.stores.records import Settled
from abyssal.stores.sql.once import OnceRows
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
        self._rows = OnceRows(engine, usage)

    def add(self, rows: Sequence[Settled]) -> None:
        """Store `rows` in one transaction; a row whose id is there already is left as it is."""
        self._rows.add([msgspec.structs.astuple(row) for row in rows])

    def totals(self) -> list[UsageTotal]:
        """Calls and tokens per model, by name."""
        query = select(
            usage.c.model,
            func.count(),
            func.sum(usage.c.prompt_tokens),
            func.sum(usage.c.completion_tokens),
        ).group_by(usage.c.model)
        with self._engine.connect() as connection:
            found = connection.execute(query).all()
        # PostgreSQL sums to a decimal, and would sort by the database's language.
        totals = [
            UsageTotal(model, calls, int(sent), int(answered)) for model, calls, sent, answered in found
        ]
        return sorted(totals, key=lambda total: total.model)
