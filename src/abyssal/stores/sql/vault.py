"""Secrets that must be readable again: sealed into the database, opened, given another master key.

1. The row `current` of `master_keys` names the key that seals. Who seals holds that row until the end of the
   transaction; who changes it waits for all of them. So once it names another key, nothing is sealed with the
   one before any more.
2. `rewrap` then goes through every sealed column in short transactions, looks once more, holding the row, and
   only when nothing is left of the other keys takes them out of the file. Ended at any point, it is finished
   by the next `rewrap`.

It does not know what the secrets are for.
"""

from __future__ import annotations

import os
import time

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from abyssal.stores.master_key import MasterKeys
from abyssal.stores.sealing import KEY_BYTES, MasterKey, Place, SealError, key_id_of, open_sealed, seal
from abyssal.stores.sql.rewrap import PLATFORM, SEALED, count_others, rewrap_batch
from abyssal.stores.sql.schema import master_keys, platform_secrets
from abyssal.wire.errors import ConfigurationError, LocalError

__all__ = ["PLATFORM", "Vault", "current_key_id"]

_CURRENT = master_keys.c.name == "current"
_CURRENT_ID = select(master_keys.c.key_id).where(_CURRENT)
_HASH_KEY = Place(PLATFORM, "platform_secrets", "hash-key")
_BATCH = 500  # rows in one transaction: some milliseconds in which nobody else writes on SQLite
# Between two batches on SQLite: who waits for its lock only looks again now and then (up to 0.1 s apart), and
# would never find it free. So it is left free for as long as the batch held it, and this long at least.
_GAP = 0.01  # seconds
_NAMED = 5  # broken values that an error names


class Vault:
    """construct → `prepare` → `seal`, `open`, `hash_key`, `rewrap`; on the thread that its engine is for."""

    def __init__(self, engine: Engine, keys: MasterKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._hash_key: bytes | None = None

    @property
    def keys(self) -> MasterKeys:
        """The ring of master keys."""
        return self._keys

    def prepare(self, *, now_ns: int) -> None:
        """Make what is missing: a master key, the row that names it, the key that API keys are hashed with.

        Raises ConfigurationError when the database is sealed with a key that the ring does not have.
        """
        try:
            self._hash_key = self._prepared(now_ns)
        except IntegrityError:  # another process was quicker; what it made is used
            self._hash_key = self._prepared(now_ns)

    def seal(self, connection: Connection, plaintext: bytes, place: Place) -> bytes:
        """`plaintext` sealed for `place`, to be written in the same transaction of `connection`.

        Raises ConfigurationError when the ring does not have the current key.
        """
        return seal(plaintext, place, self._current(connection))

    def open(self, sealed: bytes, place: Place) -> bytes:
        """What was sealed for `place`; SealError when it is anything else, or its key is lost."""
        key_id = key_id_of(sealed)
        try:
            key = self._keys.key(key_id)
        except ConfigurationError as error:
            raise SealError from error
        return open_sealed(sealed, place, key)

    def hash_key(self) -> bytes:
        """The key (32 bytes) of the keyed hash that API keys are stored as; `prepare` comes first."""
        if self._hash_key is None:
            raise RuntimeError("Vault.prepare has not been called")
        return self._hash_key

    def rewrap(self) -> dict[str, int]:
        """Change to the newest master key: rows rewrapped, per table. Others may read and write meanwhile.

        A ring file with a single key gets a new one first, and loses the old one last. In a variable or a
        command's output the newest key is the last, put there by the operator. Raises LocalError when some
        values could not be opened: they stay as they are, and the old keys stay in the file.
        """
        new = self._change_current()
        counts = {sealed.table.name: 0 for sealed in SEALED}
        broken: list[str] = []
        for sealed in SEALED:
            after, at_end = None, False
            while not at_end:
                began = time.monotonic()
                with self._engine.begin() as connection:
                    self._check_still(connection, new)
                    batch = rewrap_batch(connection, sealed, new, self._keys.key, after=after, size=_BATCH)
                counts[sealed.table.name] += batch.rewrapped
                broken += batch.broken
                after, at_end = batch.last, batch.last is None
                if not at_end and self._engine.dialect.name == "sqlite":
                    time.sleep(max(_GAP, time.monotonic() - began))
        if broken:
            named = ", ".join(broken[:_NAMED]) + (" and others" if len(broken) > _NAMED else "")
            raise LocalError(
                f"{len(broken)} sealed values cannot be opened and stayed as they are ({named}); so did the "
                "old keys. Everything else is rewrapped. Revoke what they belong to, or restore a backup."
            )
        self._drop_others(new)
        return counts

    def _prepared(self, now_ns: int) -> bytes:
        """The hash key."""
        with self._engine.begin() as connection:
            current = connection.execute(_CURRENT_ID).scalar()
            sealed = connection.execute(
                select(platform_secrets.c.sealed).where(platform_secrets.c.name == _HASH_KEY.row)
            ).scalar()
            if current is None and sealed is None:
                key = self._keys.first()
            else:
                key = self._keys.key(current or key_id_of(sealed or b""))
            if current is None:
                connection.execute(insert(master_keys).values(name="current", key_id=key.id))
            if sealed is not None:
                return self._opened_hash_key(sealed)
            hash_key = os.urandom(KEY_BYTES)
            connection.execute(
                insert(platform_secrets).values(
                    name=_HASH_KEY.row, sealed=seal(hash_key, _HASH_KEY, key), created_at=now_ns
                )
            )
            return hash_key

    def _opened_hash_key(self, sealed: bytes) -> bytes:
        key = self._keys.key(key_id_of(sealed))
        try:
            return open_sealed(sealed, _HASH_KEY, key)
        except SealError:
            raise ConfigurationError(
                f"{self._keys.name} has a key {key.id}, but not the one that this database is sealed with. "
                "Without it no client secret, signing key or token key can be read and no API key checked; "
                "restore the master key that belongs to this database."
            ) from None

    def _current(self, connection: Connection, *, change: bool = False) -> MasterKey:
        """The key that seals. It stays that one until the transaction ends.

        With `change` this waits for all who seal, and keeps others from it until the transaction ends.
        """
        key_id = connection.execute(_CURRENT_ID.with_for_update(read=not change)).scalar()
        if key_id is None:
            raise RuntimeError("Vault.prepare has not been called on this database")
        return self._keys.key(key_id)

    def _change_current(self) -> MasterKey:
        with self._engine.begin() as connection:
            self._current(connection, change=True)
            new = self._keys.next()
            connection.execute(update(master_keys).where(_CURRENT).values(key_id=new.id))
        return new

    def _drop_others(self, new: MasterKey) -> None:
        with self._engine.begin() as connection:
            self._check_still(connection, new, change=True)
            left = count_others(connection, new.id)
            if left:
                raise LocalError(
                    f"{left} values are still sealed with another master key; the old keys stay. Run "
                    "`abyssal secrets rewrap` again."
                )
            self._keys.keep_only(new.id)

    def _check_still(self, connection: Connection, new: MasterKey, *, change: bool = False) -> None:
        if self._current(connection, change=change).id != new.id:
            raise LocalError(
                "Another `abyssal secrets rewrap` changed the master key again; run it once more."
            )


def current_key_id(engine: Engine) -> str | None:
    """The id of the master key that seals in this database, None before anything was sealed."""
    with engine.connect() as connection:
        return connection.execute(_CURRENT_ID).scalar()
