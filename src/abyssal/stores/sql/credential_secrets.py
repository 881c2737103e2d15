"""What proves credentials, in SQL: one secret each, two while one is rotated; and which are old.

Times are Unix nanoseconds. A secret that ended stays as a row: the data plane must learn that it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from abyssal.stores.sql.schema import credentials, organizations, projects, secrets


class SecretRow(msgspec.Struct, frozen=True):
    """One secret. Which of `digest`, `sealed` and `public_key` it has depends on its credential's kind."""

    id: str
    credential_id: str
    hint: str
    created_at: int
    expires_at: int | None = None
    digest: bytes | None = None
    sealed: bytes | None = None
    public_key: bytes | None = None


class OldSecret(msgspec.Struct, frozen=True):
    """A secret in use that should have been rotated, and whose it is. `hint`: its last four characters."""

    secret_id: str
    credential_id: str
    kind: str
    name: str
    organization_id: str
    hint: str
    created_at: int


_OLD = (
    select(
        secrets.c.id,
        secrets.c.credential_id,
        credentials.c.kind,
        credentials.c.name,
        projects.c.organization_id,
        secrets.c.hint,
        secrets.c.created_at,
    )
    .join_from(secrets, credentials, secrets.c.credential_id == credentials.c.id)
    .join(projects, credentials.c.project_id == projects.c.id)
    .join(organizations, projects.c.organization_id == organizations.c.id)
)


def add_secrets(connection: Connection, rows: Iterable[SecretRow]) -> None:
    """Store new ones."""
    values = [msgspec.structs.asdict(row) for row in rows]
    if values:
        connection.execute(insert(secrets), values)


def live_secrets(
    connection: Connection, credential_ids: Iterable[str], *, now_ns: int
) -> dict[str, list[SecretRow]]:
    """The secrets that have not ended, by credential, oldest first. What proves is not read.

    The newest is the one without an end, even if the machine's clock was set back since the one before.
    """
    query = (
        select(
            secrets.c.id, secrets.c.credential_id, secrets.c.hint, secrets.c.created_at, secrets.c.expires_at
        )
        .where(secrets.c.credential_id.in_(list(credential_ids)))
        .where(or_(secrets.c.expires_at.is_(None), secrets.c.expires_at > now_ns))
        .order_by(secrets.c.expires_at.is_(None), secrets.c.created_at, secrets.c.id)
    )
    found: defaultdict[str, list[SecretRow]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.credential_id].append(SecretRow(*row))
    return found


def end_secret(connection: Connection, secret_id: str, *, expires_at: int) -> None:
    """Let a secret end at that moment."""
    connection.execute(update(secrets).where(secrets.c.id == secret_id).values(expires_at=expires_at))


def old_secrets(connection: Connection, *, now_ns: int, made_before: int, count: int) -> list[OldSecret]:
    """At most `count` secrets in use, made before `made_before`, not warned about since then; oldest first.

    On PostgreSQL their rows stay locked, and those that another holds are passed over.
    """
    query = (
        _OLD.where(*_in_use_since_before(made_before, now_ns))
        .where(or_(secrets.c.warned_at.is_(None), secrets.c.warned_at < made_before))
        .order_by(secrets.c.created_at, secrets.c.id)
        .limit(count)
        .with_for_update(skip_locked=True, of=secrets)
    )
    return [OldSecret(*row) for row in connection.execute(query)]


def count_old_secrets(connection: Connection, *, now_ns: int, made_before: int) -> int:
    """How many secrets in use were made before `made_before`, warned about or not."""
    old = _OLD.where(*_in_use_since_before(made_before, now_ns)).subquery()
    return connection.execute(select(func.count()).select_from(old)).scalar_one()


def mark_warned(connection: Connection, secret_ids: Iterable[str], *, now_ns: int) -> None:
    """Note that somebody was told."""
    connection.execute(update(secrets).where(secrets.c.id.in_(list(secret_ids))).values(warned_at=now_ns))


def _in_use_since_before(made_before: int, now_ns: int) -> tuple[ColumnElement[bool], ...]:
    # A secret with an end has a successor already: there is nothing more to ask of anybody.
    return (
        secrets.c.created_at < made_before,
        secrets.c.expires_at.is_(None),
        credentials.c.revoked_at.is_(None),
        or_(credentials.c.expires_at.is_(None), credentials.c.expires_at > now_ns),
        projects.c.archived_at.is_(None),
        organizations.c.archived_at.is_(None),
    )
