"""Data directories of platforms with many API keys: written straight into SQLite, once in a run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.contenders.gateway import KEY, KEYS

_BATCH = 20_000  # rows of one statement
_CACHE_KIB = 512 * 1024  # the index of hashes is written in no order: it has to fit

_CREDENTIAL = """\
INSERT INTO credentials (id, kind, project_id, name, scopes, created_at, revision)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SECRET = "INSERT INTO secrets (id, credential_id, digest, hint, created_at) VALUES (?, ?, ?, ?, ?)"


def data_with(scratch: Path, count: int) -> Path:
    """A data directory whose database holds the keys `KEYS % 0` to `KEYS % (count - 1)`, no other.

    Made the first time (half a minute for a million), found in `scratch` after that: only one platform at a
    time may use it.
    """
    data = scratch / f"keys-{count}"
    if not data.exists():
        making = scratch / f"keys-{count}.making"
        _fill(making, count)
        making.rename(data)
    return data


def _fill(data: Path, count: int) -> None:
    """The first key as a platform makes it, the others like it, as fast as SQLite takes them."""
    from sqlalchemy import select

    from abyssal.config import MasterKeySource
    from abyssal.platform.first_key import ensure_first_key
    from abyssal.stores.master_key import open_master_keys
    from abyssal.stores.sql.database import open_database, sqlite_url
    from abyssal.stores.sql.schema import projects
    from abyssal.stores.sql.vault import Vault

    data.mkdir(mode=0o700)
    path, now = data / "abyssal.db", time.time_ns()
    engine = open_database(sqlite_url(path))
    try:
        vault = Vault(engine, open_master_keys(MasterKeySource(), data, {}))
        vault.prepare(now_ns=now)
        ensure_first_key(engine, vault, data, KEY, now_ns=now)
        with engine.connect() as connection:
            project = connection.execute(select(projects.c.id)).scalar_one()
        hash_key = vault.hash_key()
    finally:
        engine.dispose()
    database = sqlite3.connect(path)
    try:
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        numbers = iter(range(1, count))
        while batch := list(islice(numbers, _BATCH)):
            database.executemany(_CREDENTIAL, _credentials(batch, project, now))
            database.executemany(_SECRET, _secrets(batch, hash_key, now))
        database.commit()
    finally:
        database.close()


def _credentials(numbers: list[int], project: str, now: int) -> Iterator[tuple[object, ...]]:
    for number in numbers:
        yield f"key_{number:020x}", "api_key", project, f"bench-{number}", '["chat"]', now, 1


def _secrets(numbers: list[int], hash_key: bytes, now: int) -> Iterator[tuple[object, ...]]:
    from abyssal.stores.api_keys import digest_of

    for number in numbers:
        key = KEYS % number
        yield (
            f"sec_{number:020x}",
            f"key_{number:020x}",
            digest_of(key.encode(), hash_key),
            key[-4:],
            now,
        )
