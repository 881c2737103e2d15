"""Conversations in SQL. Times are Unix nanoseconds; one whose time has passed is not there any more.

`content` or `sealed` has what it is about (`platform.conversations`); this knows neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from abyssal.stores.sql.columns import Position, fitting, page_of
from abyssal.stores.sql.schema import conversations, projects, turns


class ConversationRow(msgspec.Struct, frozen=True):
    """One conversation. `turns` were added to it so far, `ttl_us` microseconds after the last one it ends."""

    id: str
    project_id: str
    user_id: str | None
    content: bytes | None
    sealed: bytes | None
    turns: int
    ttl_us: int
    created_at: int
    updated_at: int
    expires_at: int


class Lease(NamedTuple):
    """Who may add a turn to a conversation."""

    conversation: str
    holder: str


_COLUMNS = ConversationRow.__struct_fields__
_ALL = select(*(conversations.c[name] for name in _COLUMNS))


def organization_of(connection: Connection, project: str) -> str:
    """The organisation that a project is of, "" for a project that there is not."""
    query = select(projects.c.organization_id).where(projects.c.id == project)
    return connection.execute(query).scalar() or ""


def add_conversation(connection: Connection, row: ConversationRow) -> None:
    """Store a new one."""
    connection.execute(insert(conversations), msgspec.structs.asdict(row))


def find_conversation(
    connection: Connection, project: str, conversation: str, *, now_ns: int
) -> ConversationRow | None:
    """The project's one of that id."""
    found = connection.execute(_ALL.where(_there(project, conversation, now_ns))).first()
    return None if found is None else ConversationRow(*found)


def page_conversations(
    connection: Connection,
    project: str,
    *,
    user: str | None,
    now_ns: int,
    after: Position | None,
    count: int,
) -> list[ConversationRow]:
    """`count` of a project after `after`, oldest first; of that person alone unless `user` is None."""
    query = _page(_ALL, project, user, now_ns, after, count)
    return [ConversationRow(*found) for found in connection.execute(query)]


def conversations_within(
    connection: Connection,
    project: str,
    *,
    user: str | None,
    now_ns: int,
    after: Position | None,
    count: int,
    most_bytes: int,
) -> int:
    """How many of the next `count` after `after` have `most_bytes` together; at least one."""
    size = func.coalesce(func.length(conversations.c.content), func.length(conversations.c.sealed), 0)
    query = _page(select(size), project, user, now_ns, after, count)
    return fitting(connection.execute(query).scalars(), most_bytes)


def _page(
    query: Select[Any], project: str, user: str | None, now_ns: int, after: Position | None, count: int
) -> Select[Any]:
    query = query.where(conversations.c.project_id == project, conversations.c.expires_at > now_ns)
    if user is not None:
        query = query.where(conversations.c.user_id == user)
    return page_of(query, conversations.c.created_at, conversations.c.id, after, count)


def delete_conversation(connection: Connection, project: str, conversation: str, *, now_ns: int) -> bool:
    """Take it away with its turns, also while a call is at work in it; False when there is none."""
    return bool(_delete(connection, _there(project, conversation, now_ns), 1))


def delete_of_user(connection: Connection, project: str, user: str, count: int) -> int:
    """Take away at most `count` of a person's in a project, those whose time has passed too; how many."""
    return _delete(
        connection, and_(conversations.c.project_id == project, conversations.c.user_id == user), count
    )


def delete_expired(connection: Connection, count: int, *, now_ns: int) -> int:
    """Take away at most `count` whose time has passed and in which no call is at work; gives how many."""
    over = and_(conversations.c.expires_at <= now_ns, _free(now_ns))
    return _delete(connection, over, count)


def grow(
    connection: Connection, project: str, lease: Lease, *, user: str | None, now_ns: int
) -> ConversationRow | None:
    """Count one more turn and end the lease; the row as it is then, None unless the lease still holds.

    `user` becomes its person if it has none. Its time begins anew.
    """
    held = and_(
        conversations.c.id == lease.conversation,
        conversations.c.project_id == project,
        conversations.c.lease_holder == lease.holder,
    )
    values: dict[str, Any] = {
        "turns": conversations.c.turns + 1,
        "updated_at": now_ns,
        "expires_at": now_ns + conversations.c.ttl_us * 1000,
        "lease_holder": None,
        "lease_until": None,
    }
    if not connection.execute(update(conversations).where(held).values(**values)).rowcount:
        return None
    if user is not None:
        nobodys = and_(conversations.c.id == lease.conversation, conversations.c.user_id.is_(None))
        connection.execute(update(conversations).where(nobodys).values(user_id=user))
    found = connection.execute(_ALL.where(conversations.c.id == lease.conversation)).one()
    return ConversationRow(*found)


def take_lease(connection: Connection, project: str, lease: Lease, *, now_ns: int, until_ns: int) -> bool:
    """Make the holder the one who may add a turn; False while another one is, or without a conversation."""
    may = and_(
        _there(project, lease.conversation, now_ns),
        or_(_free(now_ns), conversations.c.lease_holder == lease.holder),
    )
    values = {"lease_holder": lease.holder, "lease_until": until_ns}
    return bool(connection.execute(update(conversations).where(may).values(**values)).rowcount)


def renew_leases(connection: Connection, leases: Iterable[Lease], *, until_ns: int) -> None:
    """Let these hold until then, those that nobody else has taken."""
    _of_leases(connection, leases, {"lease_until": until_ns})


def release_leases(connection: Connection, leases: Iterable[Lease]) -> None:
    """End these."""
    _of_leases(connection, leases, {"lease_holder": None, "lease_until": None})


def release_all_leases(connection: Connection) -> None:
    """End every one: nobody else uses this database."""
    held = conversations.c.lease_holder.is_not(None)
    connection.execute(update(conversations).where(held).values(lease_holder=None, lease_until=None))


def _of_leases(connection: Connection, leases: Iterable[Lease], values: dict[str, Any]) -> None:
    parameters = [{"conversation": lease.conversation, "holder": lease.holder} for lease in leases]
    if parameters:
        held = and_(
            conversations.c.id == bindparam("conversation"),
            conversations.c.lease_holder == bindparam("holder"),
        )
        connection.execute(update(conversations).where(held).values(**values), parameters)


def _there(project: str, conversation: str, now_ns: int) -> ColumnElement[bool]:
    return and_(
        conversations.c.id == conversation,
        conversations.c.project_id == project,
        conversations.c.expires_at > now_ns,
    )


def _free(now_ns: int) -> ColumnElement[bool]:
    return or_(conversations.c.lease_holder.is_(None), conversations.c.lease_until <= now_ns)


def _delete(connection: Connection, which: ColumnElement[bool], count: int) -> int:
    """The rows are locked first, so that no turn is added between taking away turns and conversation."""
    query = select(conversations.c.id).where(which).limit(count).with_for_update()
    found = connection.execute(query).scalars().all()
    if found:
        connection.execute(delete(turns).where(turns.c.conversation_id.in_(found)))
        connection.execute(delete(conversations).where(conversations.c.id.in_(found)))
    return len(found)
