"""The tables `token_keys` and `revoked_tokens`. It does not know what a token or a key looks like.

Every function works in the transaction of its `connection`. Those that change what the data plane follows
take the `revision` that the caller drew with `next_revision`. Times are Unix nanoseconds.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, delete, exists, insert, select, update

from abyssal.stores.sql.schema import credentials, revoked_tokens, token_keys


class TokenKeyRow(msgspec.Struct, frozen=True):
    """A key that tokens are signed with.

    It is published from `created_at` on and signs from `active_at` to `retired_at`. `sealed` is the
    private half (PEM), `public_pem` the public one. `retired_at` is None until a successor is known.
    """

    id: str
    sealed: bytes
    public_pem: bytes
    created_at: int
    active_at: int
    retired_at: int | None


def read_token_keys(connection: Connection) -> list[TokenKeyRow]:
    """All keys that are published, in the order in which they sign."""
    columns = [token_keys.c[name] for name in TokenKeyRow.__struct_fields__]
    rows = connection.execute(select(*columns).order_by(token_keys.c.active_at, token_keys.c.id))
    return [TokenKeyRow(*row) for row in rows]


def add_token_key(connection: Connection, key: TokenKeyRow, *, revision: int) -> None:
    """Publish `key`; those before it sign until it does."""
    unended = token_keys.c.retired_at.is_(None)
    connection.execute(update(token_keys).where(unended).values(retired_at=key.active_at, revision=revision))
    connection.execute(insert(token_keys).values(**msgspec.structs.asdict(key), revision=revision))


def drop_token_keys(connection: Connection, ids: Collection[str], *, revision: int) -> None:
    """Withdraw keys. The ones that are left are stamped, for a row that is gone cannot be."""
    connection.execute(delete(token_keys).where(token_keys.c.id.in_(ids)))
    connection.execute(update(token_keys).values(revision=revision))


def are_there_clients(connection: Connection) -> bool:
    """Whether anybody could ask for a token."""
    query = select(exists().where(credentials.c.kind == "client", credentials.c.revoked_at.is_(None)))
    return bool(connection.execute(query).scalar_one())


def revoke_token(connection: Connection, jti: str, *, expires_at: int, revision: int) -> None:
    """End the token `jti`, which must not be revoked already."""
    values = {"jti": jti, "expires_at": expires_at, "revision": revision}
    connection.execute(insert(revoked_tokens).values(values))


def is_token_revoked(connection: Connection, jti: str) -> bool:
    """Whether the token `jti` was ended before its time."""
    return bool(connection.execute(select(exists().where(revoked_tokens.c.jti == jti))).scalar_one())


def are_there_ended_revocations(connection: Connection, before_ns: int) -> bool:
    """Whether `forget_revocations` would find any."""
    query = select(exists().where(revoked_tokens.c.expires_at < before_ns))
    return bool(connection.execute(query).scalar_one())


def forget_revocations(connection: Connection, before_ns: int) -> int:
    """Remove the revocations of tokens that ended by themselves before `before_ns`; how many they were.

    Nobody needs to hear of it, so it is no revision.
    """
    return connection.execute(delete(revoked_tokens).where(revoked_tokens.c.expires_at < before_ns)).rowcount
