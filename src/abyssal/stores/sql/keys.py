"""API keys in SQL. Only their digests are kept, see `abyssal.stores.api_keys`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import msgspec
from sqlalchemy import Engine, insert, select, update

from abyssal.stores.api_keys import digest_of
from abyssal.stores.snapshot import KeyRecord
from abyssal.stores.sql.schema import api_keys


class KeyRow(msgspec.Struct, frozen=True):
    """A key as an operator sees it; `hint` is its last four characters, `created_at` Unix nanoseconds."""

    id: str
    name: str
    hint: str
    created_at: int
    revoked_at: int | None


class KeyStore:
    """The table `api_keys`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, key: str, *, now_ns: int) -> KeyRow:
        """Store `key` under `name` and give its row back."""
        return self.add_many([(name, key)], now_ns=now_ns)[0]

    def add_many(self, named_keys: Iterable[tuple[str, str]], *, now_ns: int) -> list[KeyRow]:
        """Store many keys, given as (name, key), in one transaction."""
        rows = [
            (KeyRow("key_" + secrets.token_hex(8), name, key[-4:], now_ns, None), digest_of(key))
            for name, key in named_keys
        ]
        values = [{**msgspec.structs.asdict(row), "digest": digest} for row, digest in rows]
        with self._engine.begin() as connection:
            connection.execute(insert(api_keys), values)
        return [row for row, _ in rows]

    def revoke(self, key_id: str, *, now_ns: int) -> bool:
        """Revoke a key; False when there is no live key of that id."""
        live = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
        with self._engine.begin() as connection:
            return connection.execute(update(api_keys).where(live).values(revoked_at=now_ns)).rowcount == 1

    def list(self) -> list[KeyRow]:
        """All keys, oldest first."""
        columns = [api_keys.c[name] for name in KeyRow.__struct_fields__]
        with self._engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(api_keys.c.created_at, api_keys.c.id))
            return [KeyRow(*row) for row in rows]

    def live(self) -> tuple[KeyRecord, ...]:
        """The keys that are in force, as the data plane wants them."""
        columns = (api_keys.c.id, api_keys.c.name, api_keys.c.digest)
        with self._engine.connect() as connection:
            rows = connection.execute(select(*columns).where(api_keys.c.revoked_at.is_(None)))
            return tuple(KeyRecord(*row) for row in rows)
