"""Answers to creations, kept for who asks the same again. They rest sealed: a secret may be in them."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select

from abyssal.stores.sql.schema import idempotency_keys


class AnswerRow(msgspec.Struct, frozen=True):
    """An answer: its HTTP status, its sealed body, and the SHA-256 of the request that it answered."""

    caller: str
    key: str
    request: bytes
    status: int
    sealed: bytes
    created_at: int


_ALL = select(*(idempotency_keys.c[name] for name in AnswerRow.__struct_fields__))


def find_answer(connection: Connection, caller: str, key: str) -> AnswerRow | None:
    """What `caller` was answered under `key`."""
    query = _ALL.where(idempotency_keys.c.caller == caller, idempotency_keys.c.key == key)
    found = connection.execute(query).first()
    return None if found is None else AnswerRow(*found)


def add_answer(connection: Connection, row: AnswerRow) -> None:
    """Keep an answer."""
    connection.execute(insert(idempotency_keys), msgspec.structs.asdict(row))


def forget_answers(connection: Connection, *, before_ns: int) -> int:
    """Drop those that were kept before `before_ns` (Unix nanoseconds); gives how many."""
    return connection.execute(
        delete(idempotency_keys).where(idempotency_keys.c.created_at < before_ns)
    ).rowcount
