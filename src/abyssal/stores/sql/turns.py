"""The turns of conversations in SQL: what each call added, numbered from 1. Times are Unix nanoseconds."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select

from abyssal.stores.sql.columns import fitting
from abyssal.stores.sql.schema import turns


class TurnRow(msgspec.Struct, frozen=True):
    """One turn. `content` or `sealed` has its messages; `tokens` is what they come to, an estimate."""

    conversation_id: str
    number: int
    call_id: str
    model: str
    tokens: int
    content: bytes | None
    sealed: bytes | None
    created_at: int


_ALL = select(*(turns.c[name] for name in TurnRow.__struct_fields__))
_BYTES = func.coalesce(func.length(turns.c.content), func.length(turns.c.sealed), 0)


def add_turn(connection: Connection, row: TurnRow) -> None:
    """Store a new one."""
    connection.execute(insert(turns), msgspec.structs.asdict(row))


def page_turns(connection: Connection, conversation: str, *, after: int, count: int) -> list[TurnRow]:
    """`count` of a conversation after the number `after`, oldest first."""
    query = (
        _ALL.where(turns.c.conversation_id == conversation, turns.c.number > after)
        .order_by(turns.c.number)
        .limit(count)
    )
    return [TurnRow(*found) for found in connection.execute(query)]


def newest_turns(connection: Connection, conversation: str, *, tokens: int, most_bytes: int) -> list[TurnRow]:
    """The newest, oldest first: as many as `tokens` and `most_bytes` hold, none of them skipped."""
    sizes = (  # alone first: a turn may be as large as a body
        select(turns.c.number, turns.c.tokens, _BYTES)
        .where(turns.c.conversation_id == conversation)
        .order_by(turns.c.number.desc())
    )
    oldest = None
    with connection.execute(sizes.execution_options(yield_per=200)) as found:
        for number, its_tokens, its_bytes in found:
            tokens -= its_tokens
            most_bytes -= its_bytes
            if tokens < 0 or most_bytes < 0:
                break
            oldest = number
    if oldest is None:
        return []
    query = _ALL.where(turns.c.conversation_id == conversation, turns.c.number >= oldest)
    return [TurnRow(*values) for values in connection.execute(query.order_by(turns.c.number))]


def turns_within(
    connection: Connection, conversation: str, *, after: int, count: int, most_bytes: int
) -> int:
    """How many of the next `count` after the number `after` have `most_bytes` together; at least one."""
    sizes = (
        select(_BYTES)
        .where(turns.c.conversation_id == conversation, turns.c.number > after)
        .order_by(turns.c.number)
        .limit(count)
    )
    return fitting(connection.execute(sizes).scalars(), most_bytes)
