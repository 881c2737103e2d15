"""Reads what the data plane follows, in pieces: everything for a worker that begins, then what changed.

1. Revisions are committed in order (`stores.sql.revision`): the number is read first, then the rows, so a row
   that is newer than the number is only told twice, never missed.
2. A picture is read page by page, each page on its own: other work of the thread goes on between two.
3. Of what is no longer good only the lookups are told, so that they are taken away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, and_, select

from abyssal.clock import Clock
from abyssal.stores.rights import ALL_SCOPES, mask_of
from abyssal.stores.sealing import Place, SealError
from abyssal.stores.snapshot import (
    KEPT_REVOKED,
    CredentialRecord,
    Entry,
    ProjectRecord,
    RevokedToken,
    SecretRecord,
    Snapshot,
    TokenKey,
    encode_record,
)
from abyssal.stores.sql.columns import list_of, optional_list
from abyssal.stores.sql.revision import current_revision
from abyssal.stores.sql.schema import (
    credentials,
    organizations,
    projects,
    revoked_tokens,
    secrets,
    token_keys,
)
from abyssal.stores.sql.vault import Vault

_log = logging.getLogger("abyssal.stores")

PAGE = 2000  # credentials to a piece: some milliseconds of work at either end

_CREDENTIAL = (
    credentials.c.id,
    credentials.c.kind,
    credentials.c.project_id,
    credentials.c.user_id,
    credentials.c.scopes,
    credentials.c.models,
    credentials.c.networks,
    credentials.c.expires_at,
    credentials.c.revoked_at,
    projects.c.organization_id,
)
_SECRET = (
    secrets.c.credential_id,
    secrets.c.id,
    secrets.c.digest,
    secrets.c.sealed,
    secrets.c.public_key,
    secrets.c.expires_at,
)


class _Secret(NamedTuple):
    credential_id: str
    id: str
    digest: bytes | None
    sealed: bytes | None
    public_key: bytes | None
    expires_at: int | None


class Publication:
    """See the module. Each method is a read of its own."""

    def __init__(self, engine: Engine, vault: Vault, clock: Clock) -> None:
        self._engine = engine
        self._vault = vault
        self._unix_ns = clock.unix_ns

    def revision(self) -> int:
        """The newest version."""
        with self._engine.connect() as connection:
            return current_revision(connection)

    def begin(self) -> Snapshot:
        """The first piece of a whole picture: all but the credentials, which `page` gives."""
        now = self._unix_ns()
        with self._engine.connect() as connection:
            version = current_revision(connection)
            return Snapshot(
                version=version,
                whole=True,
                last=False,
                projects=_projects(connection, projects.c.archived_at.is_(None)),
                hash_key=self._vault.hash_key(),
                token_keys=_token_keys(connection),
                revoked_tokens=_revoked(connection, revoked_tokens.c.expires_at > now - KEPT_REVOKED),
            )

    def page(self, version: int, after: str) -> tuple[Snapshot, str]:
        """The credentials whose ids follow `after`, and the last id; not `last` while there are more."""
        now = self._unix_ns()
        live = and_(
            credentials.c.id > after,
            credentials.c.revoked_at.is_(None),
            credentials.c.expires_at.is_(None) | (credentials.c.expires_at > now),
        )
        with self._engine.connect() as connection:
            query = _of_projects(live).order_by(credentials.c.id).limit(PAGE)
            rows = connection.execute(query).all()
            if not rows:
                return Snapshot(version=version), after
            last = rows[-1][0]
            within = and_(secrets.c.credential_id > after, secrets.c.credential_id <= last)
            by_credential = _by_credential(connection.execute(select(*_SECRET).where(within)))
        entries = tuple(self._entries(rows, by_credential, now))
        return Snapshot(version=version, last=len(rows) < PAGE, entries=entries), last

    def since(self, version: int) -> Snapshot | None:
        """What changed after `version`, None when nothing did.

        A piece that is `whole` has nothing in it: the database was set back, and all must be told anew.
        """
        now = self._unix_ns()
        with self._engine.connect() as connection:
            newest = current_revision(connection)
            if newest == version:
                return None
            if newest < version:
                return Snapshot(version=newest, whole=True, last=False)
            changed = credentials.c.revision > version
            rows = connection.execute(_of_projects(changed)).all()
            joined = select(*_SECRET).join(credentials, credentials.c.id == secrets.c.credential_id)
            by_credential = _by_credential(connection.execute(joined.where(changed)))
            keys_changed = connection.execute(
                select(token_keys.c.id).where(token_keys.c.revision > version).limit(1)
            ).first()
            return Snapshot(
                version=newest,
                projects=_projects(connection, projects.c.revision > version),
                entries=tuple(self._entries(rows, by_credential, now)),
                hash_key=self._vault.hash_key(),
                token_keys=_token_keys(connection) if keys_changed else None,
                revoked_tokens=_revoked(connection, revoked_tokens.c.revision > version),
            )

    def _entries(
        self, rows: Iterable[Any], by_credential: dict[str, list[_Secret]], now: int
    ) -> Iterator[Entry]:
        for row in rows:
            credential_id, kind, project, user, scopes, models, networks, expires_at, revoked_at, tenant = row
            ends = expires_at or 0
            gone = revoked_at is not None or (ends and ends <= now)
            own = by_credential.get(credential_id, [])
            mask, names, allowed = _mask(scopes), optional_list(models), optional_list(networks)
            if kind == "api_key":
                for secret in own:
                    until = _sooner(ends, secret.expires_at or 0)
                    record = b""
                    if not gone and not (until and until <= now):
                        record = encode_record(
                            CredentialRecord(
                                credential_id, kind, project, user or "", mask, names, allowed, until
                            )
                        )
                    yield Entry(secret.digest or b"", record)
                continue
            record = b""
            if not gone:
                proofs = tuple(self._proofs(own, tenant, now))
                record = encode_record(
                    CredentialRecord(
                        credential_id, kind, project, user or "", mask, names, allowed, ends, proofs
                    )
                )
            yield Entry(credential_id.encode(), record)

    def _proofs(self, own: list[_Secret], tenant: str, now: int) -> Iterator[SecretRecord]:
        """What can be opened. A damaged secret proves nothing, and must not keep others from being told."""
        for secret in own:
            if secret.expires_at and secret.expires_at <= now:
                continue
            try:
                yield SecretRecord(self._material(secret, tenant), secret.expires_at or 0)
            except SealError as error:
                _log.error("the secret %s of %s proves nobody: %s", secret.id, secret.credential_id, error)

    def _material(self, secret: _Secret, tenant: str) -> bytes:
        if secret.public_key is not None:
            return secret.public_key
        return self._vault.open(secret.sealed or b"", Place(tenant, "secrets", secret.id))


def _of_projects(condition: ColumnElement[bool]) -> Any:
    joined = select(*_CREDENTIAL).join(projects, projects.c.id == credentials.c.project_id)
    return joined.where(condition)


def _by_credential(rows: Iterable[Any]) -> dict[str, list[_Secret]]:
    found: dict[str, list[_Secret]] = {}
    for row in rows:
        secret = _Secret(*row)
        found.setdefault(secret.credential_id, []).append(secret)
    return found


def _projects(connection: Connection, condition: ColumnElement[bool]) -> tuple[ProjectRecord, ...]:
    query = (
        select(
            projects.c.id,
            projects.c.organization_id,
            projects.c.scopes,
            organizations.c.scopes,
            projects.c.models,
            organizations.c.models,
            projects.c.networks,
            organizations.c.networks,
            projects.c.archived_at,
            organizations.c.archived_at,
        )
        .join(organizations, organizations.c.id == projects.c.organization_id)
        .where(condition)
    )
    records: list[ProjectRecord] = []
    for row in connection.execute(query):
        (
            project,
            organization,
            scopes,
            all_scopes,
            models,
            all_models,
            networks,
            all_networks,
            ends,
            all_end,
        ) = row
        lists = (optional_list(networks), optional_list(all_networks))
        records.append(
            ProjectRecord(
                id=project,
                organization=organization,
                scopes=_limit(scopes) & _limit(all_scopes),
                models=_both(optional_list(models), optional_list(all_models)),
                networks=tuple(allowed for allowed in lists if allowed is not None),
                active=ends is None and all_end is None,
            )
        )
    return tuple(records)


def _token_keys(connection: Connection) -> tuple[TokenKey, ...]:
    rows = connection.execute(select(token_keys.c.id, token_keys.c.public_pem))
    return tuple(TokenKey(*row) for row in rows)


def _revoked(connection: Connection, condition: ColumnElement[bool]) -> tuple[RevokedToken, ...]:
    rows = connection.execute(select(revoked_tokens.c.jti, revoked_tokens.c.expires_at).where(condition))
    return tuple(RevokedToken(*row) for row in rows)


@lru_cache(maxsize=1024)
def _mask(scopes: str) -> int:
    return mask_of(list_of(scopes))


def _limit(scopes: str | None) -> int:
    return ALL_SCOPES if scopes is None else _mask(scopes)


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(name for name in one if name in other)


def _sooner(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other
