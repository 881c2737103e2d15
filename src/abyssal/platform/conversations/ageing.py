"""Conversations whose time has passed are taken away, some at a time: nobody waits long for the database."""

from __future__ import annotations

from sqlalchemy import Engine

from abyssal.stores.sql.conversations import delete_expired

_BATCH = 100  # conversations in one transaction
_BATCHES = 50  # at a look; the rest is taken away at the next


def forget_expired(engine: Engine, *, now_ns: int) -> int:
    """Delete what has expired by `now_ns` (Unix nanoseconds); gives how many."""
    deleted = 0
    for _ in range(_BATCHES):
        with engine.begin() as connection:
            found = delete_expired(connection, _BATCH, now_ns=now_ns)
        deleted += found
        if found < _BATCH:
            break
    return deleted
