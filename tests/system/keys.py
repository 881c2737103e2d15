"""Many API keys at once, put into the database of a server that runs; and their end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, select

from abyssal.config import MasterKeySource
from abyssal.stores.api_keys import digest_of
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.rights import SCOPES
from abyssal.stores.sql.address import sqlite_url
from abyssal.stores.sql.credential_secrets import SecretRow, add_secrets
from abyssal.stores.sql.credentials import CredentialRow, add_credentials
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.schema import credentials, projects
from abyssal.stores.sql.vault import Vault


@contextmanager
def opened(data: Path) -> Iterator[Engine]:
    engine = open_database(sqlite_url(data / "abyssal.db"))
    yield engine
    engine.dispose()


def add_keys(data: Path, keys: list[str]) -> list[str]:
    """Keys of the first project, with every scope; gives their ids."""
    now = time.time_ns()
    ids = [f"key_{secrets.token_hex(10)}" for _ in keys]
    with opened(data) as engine:
        vault = Vault(engine, open_master_keys(MasterKeySource(), data, {}))
        vault.prepare(now_ns=now)
        hash_key = vault.hash_key()
        with engine.begin() as connection:
            project = connection.execute(select(projects.c.id)).scalar_one()
            add_credentials(
                connection,
                [
                    CredentialRow(name, "api_key", project, None, name, SCOPES, None, None, now)
                    for name in ids
                ],
                next_revision(connection),
            )
            add_secrets(
                connection,
                [
                    SecretRow(
                        f"sec_{name[4:]}", name, key[-4:], now, digest=digest_of(key.encode(), hash_key)
                    )
                    for name, key in zip(ids, keys, strict=True)
                ],
            )
    return ids


def revoke(data: Path, credential_id: str) -> None:
    """As a command does it."""
    with opened(data) as engine, engine.begin() as connection:
        connection.execute(
            credentials.update()
            .where(credentials.c.id == credential_id)
            .values(revoked_at=time.time_ns(), revision=next_revision(connection))
        )
