"""People, and which organisations they are members of, in SQL. Times are Unix nanoseconds."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from abyssal.stores.sql.columns import Position, page_of
from abyssal.stores.sql.schema import members, users


class UserRow(msgspec.Struct, frozen=True):
    """A person. `email` is in lower case, and one person's only."""

    id: str
    email: str
    operator: bool
    created_at: int


class MemberRow(msgspec.Struct, frozen=True):
    """A person in an organisation; `created_at` is when they were added to it."""

    organization_id: str
    user_id: str
    email: str
    name: str
    operator: bool
    role: str
    created_at: int


_USERS = select(*(users.c[name] for name in UserRow.__struct_fields__))
_MEMBERS = select(
    members.c.organization_id,
    members.c.user_id,
    users.c.email,
    members.c.name,
    users.c.operator,
    members.c.role,
    members.c.created_at,
).join_from(members, users, members.c.user_id == users.c.id)


def find_user_by_email(connection: Connection, email: str) -> UserRow | None:
    """The person with that address, in lower case."""
    found = connection.execute(_USERS.where(users.c.email == email)).first()
    return None if found is None else UserRow(*found)


def add_user(connection: Connection, row: UserRow) -> None:
    """Store a new person."""
    connection.execute(insert(users), msgspec.structs.asdict(row))


def add_member(
    connection: Connection, organization: str, user: str, role: str, *, name: str, created_at: int
) -> None:
    """Make a person a member; `name` is what this organisation calls them."""
    row = {
        "organization_id": organization,
        "user_id": user,
        "name": name,
        "role": role,
        "created_at": created_at,
    }
    connection.execute(insert(members), row)


def find_member(connection: Connection, organization: str, user: str) -> MemberRow | None:
    """The membership of a person in an organisation."""
    found = connection.execute(_MEMBERS.where(*_one(organization, user))).first()
    return None if found is None else MemberRow(*found)


def page_members(
    connection: Connection, *, organization: str, after: Position | None, count: int
) -> list[MemberRow]:
    """`count` members of an organisation after `after`, who was added first comes first."""
    query = _MEMBERS.where(members.c.organization_id == organization)
    query = page_of(query, members.c.created_at, members.c.user_id, after, count)
    return [MemberRow(*found) for found in connection.execute(query)]


def count_owners(connection: Connection, organization: str) -> int:
    """How many owners an organisation has."""
    query = select(func.count()).where(members.c.organization_id == organization, members.c.role == "owner")
    return connection.execute(query).scalar_one()


def set_role(connection: Connection, organization: str, user: str, role: str) -> None:
    """Give a member another role."""
    connection.execute(update(members).where(*_one(organization, user)).values(role=role))


def remove_member(connection: Connection, organization: str, user: str) -> None:
    """End a membership; the person stays."""
    connection.execute(delete(members).where(*_one(organization, user)))


def _one(organization: str, user: str) -> tuple[ColumnElement[bool], ...]:
    return (members.c.organization_id == organization, members.c.user_id == user)
