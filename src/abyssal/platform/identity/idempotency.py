"""The same request twice makes one thing: `Idempotency-Key` on creations.

1. The same caller, key and request within 24 hours get the first answer again, secret included.
2. The same caller and key with another request are refused (409).
3. Who comes while the first is at work waits: writers stand in a row (see `transaction`).
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from abyssal.platform.identity.rules import Caller
from abyssal.stores.sealing import Place
from abyssal.stores.sql.idempotency import AnswerRow, add_answer, find_answer, forget_answers
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import BadRequestError, ConflictError

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[!-~]{1,255}")
_KEPT_NS = 24 * 3600 * 1_000_000_000
_LOCAL = "local"  # the owner of the data directory has no credential


class Turn(Protocol):
    """A transaction of who asks: management's or a tenant's own."""

    judged: bool

    @property
    def connection(self) -> Connection: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def now_ns(self) -> int: ...


class Answer(NamedTuple):
    """What goes over the wire."""

    status: int
    body: bytes


def check_key(key: str) -> None:
    """Raise BadRequestError unless `key` may be one."""
    if not _KEY.fullmatch(key):
        raise BadRequestError(
            f"{HEADER}: a key has 1 to 255 visible ASCII characters; a random UUID is a good one.",
            param=HEADER,
            code="invalid_value",
        )


def answered_before(turn: Turn, key: str, request: bytes) -> Answer | None:
    """What this caller was answered to the same `request` (its SHA-256), if they asked it before.

    Raises ConflictError when the key came with another request.
    """
    forget_answers(turn.connection, before_ns=turn.now_ns - _KEPT_NS)
    caller = turn.caller.credential or _LOCAL
    found = find_answer(turn.connection, caller, key)
    if found is None:
        return None
    if found.request != request:
        raise ConflictError(
            f"{HEADER}: this key came with another request before; choose a new one for each creation.",
            param=HEADER,
            code="idempotency_conflict",
        )
    turn.judged = True  # it was when the answer was made
    return Answer(found.status, turn.vault.open(found.sealed, _place(caller, key)))


def keep_answer(turn: Turn, key: str, request: bytes, answer: Answer) -> None:
    """Keep an answer, in the transaction that makes what it tells of."""
    caller = turn.caller.credential or _LOCAL
    sealed = turn.vault.seal(turn.connection, answer.body, _place(caller, key))
    add_answer(turn.connection, AnswerRow(caller, key, request, answer.status, sealed, turn.now_ns))


def _place(caller: str, key: str) -> Place:
    return Place("platform", "idempotency_keys", f"{caller}/{key}")
