"""What is kept of calls: usage rows, failed attempts, and when each credential was last used."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import islice

import msgspec
from sqlalchemy import Engine

from abyssal.stores.records import Failed, Settled
from abyssal.stores.sql.credentials import touch
from abyssal.stores.sql.refusals import RefusalStore
from abyssal.stores.sql.usage import UsageStore

_TOUCH_EVERY = 60 * 10**9  # nanoseconds between two notes of a credential's use
_MOST_TOUCHED = 200  # notes to a batch; what waits is noted by later ones
_MOST_FAILED = 100  # attempts to a batch; an attack is counted in metrics, it need not fill the disk


class CallStore:
    """Adding the same records again changes nothing: that is how a journal is replayed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._usage = UsageStore(engine)
        self._refusals = RefusalStore(engine)
        self._touched: set[str] = set()  # within the last minute
        self._touched_since = 0
        self._used: dict[str, int] = {}  # to be noted

    def add(self, settled: Sequence[Settled], failed: Sequence[Failed]) -> None:
        """Keep `settled` calls and `failed` attempts."""
        self._usage.add(settled)
        if failed:
            self._refusals.add([_row(record) for record in failed[:_MOST_FAILED]])
        if settled:
            self._touch(settled)

    def _touch(self, settled: Sequence[Settled]) -> None:
        newest = max(record.at for record in settled)
        if not 0 <= newest - self._touched_since < _TOUCH_EVERY:
            self._touched, self._touched_since = set(), newest
        used, touched = self._used, self._touched
        for record in settled:
            if record.key_id not in touched:
                used[record.key_id] = record.at
        if used:
            batch = dict(islice(used.items(), _MOST_TOUCHED))
            with self._engine.begin() as connection:
                touch(connection, batch)
            touched.update(batch)
            for credential in batch:
                del used[credential]


def _row(record: Failed) -> tuple[str, int, str, str, str, str]:
    digest = sha256(msgspec.msgpack.encode(record)).hexdigest()[:40]  # the same when it is read again
    return (digest, record.at, record.address[:45], record.way, record.reason, record.credential)
