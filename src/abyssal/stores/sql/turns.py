"""The turns of conversations in SQL: what each call added, numbered from 1. Times are Unix nanoseconds."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select

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
    query = _ALL.where(turns.c.conversation_id == conversation).order_by(turns.c.number.desc())
    chosen: list[TurnRow] = []
    with connection.execute(query.execution_options(yield_per=50)) as found:
        for values in found:
            row = TurnRow(*values)
            tokens -= row.tokens
            most_bytes -= len(row.content or row.sealed or b"")
            if tokens < 0 or most_bytes < 0:
                break
            chosen.append(row)
    chosen.reverse()
    return chosen
