"""Credentials in SQL: API keys, clients, signing keys, public keys; what proves them is beside them.

Times are Unix nanoseconds. What changes a credential stamps it with the revision that the data plane follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, exists, insert, or_, select, update

from abyssal.stores.sql.columns import Position, list_of, list_text, optional_list, optional_text, page_of
from abyssal.stores.sql.schema import credentials, members, projects, users


class CredentialRow(msgspec.Struct, frozen=True):
    """One credential; its organisation, and what its user is there, are read with it.

    `user_role` is None where the user is no member, `user_operator` None where there is no user.
    """

    id: str
    kind: str
    project_id: str
    user_id: str | None
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    organization_id: str = ""
    user_role: str | None = None
    user_operator: bool | None = None


_OWN = CredentialRow.__struct_fields__[:12]
_ALL = (
    select(
        *(credentials.c[name] for name in _OWN), projects.c.organization_id, members.c.role, users.c.operator
    )
    .join_from(credentials, projects, credentials.c.project_id == projects.c.id)
    .outerjoin(users, users.c.id == credentials.c.user_id)
    .outerjoin(
        members,
        (members.c.user_id == credentials.c.user_id)
        & (members.c.organization_id == projects.c.organization_id),
    )
)
_TOUCH = (
    update(credentials)
    .where(
        credentials.c.id == bindparam("credential"),
        or_(credentials.c.last_used_at.is_(None), credentials.c.last_used_at < bindparam("moment")),
    )
    .values(last_used_at=bindparam("moment"))
)


def add_credential(connection: Connection, row: CredentialRow, revision: int) -> None:
    """Store a new one."""
    add_credentials(connection, [row], revision)


def add_credentials(connection: Connection, rows: Iterable[CredentialRow], revision: int) -> None:
    """Store new ones, as many as there are."""
    values = [
        {name: getattr(row, name) for name in _OWN} | _lists(row) | {"revision": revision} for row in rows
    ]
    if values:
        connection.execute(insert(credentials), values)


def find_credential(connection: Connection, kind: str, credential_id: str) -> CredentialRow | None:
    """The one of that kind and id, in force or not."""
    query = _ALL.where(credentials.c.id == credential_id, credentials.c.kind == kind)
    found = connection.execute(query).first()
    return None if found is None else _row(found)


def page_credentials(
    connection: Connection,
    kind: str,
    *,
    organization: str | None,
    project: str | None,
    after: Position | None,
    count: int,
) -> list[CredentialRow]:
    """`count` of a kind after `after`, oldest first; None does not narrow."""
    query = _ALL.where(credentials.c.kind == kind)
    if project is not None:
        query = query.where(credentials.c.project_id == project)
    elif organization is not None:
        # By its projects, so that the index of credentials leads: others' may be a million.
        its_projects = select(projects.c.id).where(projects.c.organization_id == organization)
        query = query.where(credentials.c.project_id.in_(its_projects))
    query = page_of(query, credentials.c.created_at, credentials.c.id, after, count)
    return [_row(found) for found in connection.execute(query)]


def has_credentials(connection: Connection) -> bool:
    """Whether there is or ever was one."""
    return connection.execute(select(exists(_any()))).scalar_one()


def write_credential(connection: Connection, row: CredentialRow, revision: int) -> None:
    """Change name, rights, expiry and revocation to those of `row`."""
    connection.execute(
        update(credentials)
        .where(credentials.c.id == row.id)
        .values(
            name=row.name,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            revision=revision,
            **_lists(row),
        )
    )


def revoke_of_user(
    connection: Connection, organization: str, user: str, revision: int, *, now_ns: int
) -> int:
    """Revoke what a person has in an organisation's projects; gives how many."""
    its_projects = select(projects.c.id).where(projects.c.organization_id == organization)
    done = connection.execute(
        update(credentials)
        .where(
            credentials.c.user_id == user,
            credentials.c.project_id.in_(its_projects),
            credentials.c.revoked_at.is_(None),
        )
        .values(revoked_at=now_ns, revision=revision)
    )
    return done.rowcount


def take_scope_of_user(
    connection: Connection, organization: str, user: str, scope: str, revision: int
) -> None:
    """Take a scope from what a person has in an organisation's projects."""
    its_projects = select(projects.c.id).where(projects.c.organization_id == organization)
    query = select(credentials.c.id, credentials.c.scopes).where(
        credentials.c.user_id == user,
        credentials.c.project_id.in_(its_projects),
        credentials.c.revoked_at.is_(None),
    )
    for credential, text in connection.execute(query).all():
        scopes = list_of(text)
        if scope in scopes:
            left = list_text(name for name in scopes if name != scope)
            connection.execute(
                update(credentials)
                .where(credentials.c.id == credential)
                .values(scopes=left, revision=revision)
            )


def touch(connection: Connection, used: Mapping[str, int]) -> None:
    """Note when credentials (by id) were last used, in Unix nanoseconds; earlier moments change nothing.

    Rows are taken in the order of their ids: two nodes that note the same ones never wait for each other.
    """
    if used:
        notes = [{"credential": name, "moment": moment} for name, moment in sorted(used.items())]
        connection.execute(_TOUCH, notes)


def _any() -> Select[Any]:
    return select(credentials.c.id).limit(1)


def _lists(row: CredentialRow) -> dict[str, str | None]:
    return {
        "scopes": list_text(row.scopes),
        "models": optional_text(row.models),
        "networks": optional_text(row.networks),
    }


def _row(found: Any) -> CredentialRow:
    row = CredentialRow(*found)
    return msgspec.structs.replace(
        row,
        scopes=list_of(found.scopes),
        models=optional_list(found.models),
        networks=optional_list(found.networks),
    )
