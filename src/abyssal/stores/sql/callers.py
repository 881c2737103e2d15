"""Everything that decides what a credential may do in management, read in one statement."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, bindparam, select

from abyssal.stores.sql.columns import list_of, optional_list
from abyssal.stores.sql.schema import credentials, members, organizations, projects, users

Names = tuple[str, ...] | None


class Level(msgspec.Struct, frozen=True):
    """What a credential, its project or its organisation allows; None is no limit."""

    scopes: Names
    models: Names
    networks: Names


class CallerRow(msgspec.Struct, frozen=True):
    """A credential with its surroundings. Times are Unix nanoseconds.

    `operator` is None where there is no user, `role` where the user is no member. `archived`: the project or
    the organisation is no more.
    """

    credential: str
    user: str | None
    project: str
    organization: str
    expires_at: int | None
    revoked_at: int | None
    archived: bool
    operator: bool | None
    role: str | None
    levels: tuple[Level, Level, Level]


_QUERY = (
    select(
        credentials.c.id,
        credentials.c.user_id,
        projects.c.id,
        organizations.c.id,
        credentials.c.expires_at,
        credentials.c.revoked_at,
        projects.c.archived_at,
        organizations.c.archived_at,
        users.c.operator,
        members.c.role,
        *(
            table.c[name]
            for table in (credentials, projects, organizations)
            for name in Level.__struct_fields__
        ),
    )
    .join_from(credentials, projects, credentials.c.project_id == projects.c.id)
    .join(organizations, projects.c.organization_id == organizations.c.id)
    .outerjoin(users, users.c.id == credentials.c.user_id)
    .outerjoin(
        members,
        (members.c.user_id == credentials.c.user_id) & (members.c.organization_id == organizations.c.id),
    )
    .where(credentials.c.id == bindparam("credential"))
)


def find_caller(connection: Connection, credential_id: str) -> CallerRow | None:
    """The credential of that id, whatever its kind and state."""
    found = connection.execute(_QUERY, {"credential": credential_id}).first()
    if found is None:
        return None
    start, lists = found[:10], found[10:]
    own = Level(list_of(lists[0]), optional_list(lists[1]), optional_list(lists[2]))
    project, organization = (Level(*map(optional_list, lists[at : at + 3])) for at in (3, 6))
    (
        credential,
        user,
        project_id,
        organization_id,
        expires_at,
        revoked_at,
        ended,
        ended_above,
        operator,
        role,
    ) = start
    return CallerRow(
        credential,
        user,
        project_id,
        organization_id,
        expires_at,
        revoked_at,
        ended is not None or ended_above is not None,
        operator,
        role,
        (own, project, organization),
    )
