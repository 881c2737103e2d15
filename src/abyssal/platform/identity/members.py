"""Members: which person is what in an organisation. The last owner stays."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from abyssal.platform.identity.drafts import MemberChange, MemberDraft
from abyssal.platform.identity.ids import new_id
from abyssal.platform.identity.objects import MemberObject, member_object
from abyssal.platform.identity.pages import Page, asked_page, page
from abyssal.platform.identity.rules import Located, may_act_as, may_give_role
from abyssal.platform.identity.sight import bounds, check_open, chosen_organization, member_of_id
from abyssal.platform.identity.transaction import Transaction
from abyssal.platform.identity.values import checked_email, checked_name, checked_role
from abyssal.stores.rights import ROLES
from abyssal.stores.sql.credentials import revoke_of_user, take_scope_of_user
from abyssal.stores.sql.members import (
    MemberRow,
    UserRow,
    add_member,
    add_user,
    count_owners,
    find_member,
    find_user_by_email,
    page_members,
    remove_member,
    set_role,
)
from abyssal.wire.errors import ConflictError


def list_members(turn: Transaction, query: Mapping[str, str]) -> Page[MemberObject]:
    """Those of one organisation: the named one, else the caller's."""
    bounds(turn, query.get("organization"))
    organization = chosen_organization(turn, query.get("organization"))
    return page(
        turn.vault,
        asked_page(turn.vault, "members", query),
        lambda after, count: page_members(
            turn.connection, organization=organization.id, after=after, count=count
        ),
        lambda row: (row.created_at, row.user_id),
        lambda rows: [member_object(row) for row in rows],
    )


def create_member(turn: Transaction, draft: MemberDraft) -> MemberObject:
    """Add a person, who is made known to the platform when the address is new to it.

    Raises ConflictError (`member_exists`) for a member, PermissionDeniedError for a role above the caller's.
    """
    organization = chosen_organization(turn, draft.organization)
    turn.allow(Located(organization.id))
    role = checked_role(draft.role)
    if not may_give_role(turn.caller, role):
        raise turn.denied()
    check_open(organization)
    email = checked_email(draft.email)
    name = email.partition("@")[0][:200] if draft.name is None else checked_name(draft.name)
    user = find_user_by_email(turn.connection, email)
    if user is None:
        user = UserRow(new_id("user"), email, False, turn.now_ns)
        add_user(turn.connection, user)
    elif find_member(turn.connection, organization.id, user.id) is not None:
        raise ConflictError(
            f'"email": {email} is a member already; change the role instead.',
            param="email",
            code="member_exists",
        )
    add_member(turn.connection, organization.id, user.id, role, name=name, created_at=turn.now_ns)
    return member_object(MemberRow(organization.id, user.id, email, name, user.operator, role, turn.now_ns))


def show_member(turn: Transaction, user_id: str, query: Mapping[str, str]) -> MemberObject:
    """One."""
    return member_object(_one(turn, user_id, query))


def change_member(
    turn: Transaction, user_id: str, query: Mapping[str, str], change: MemberChange
) -> MemberObject:
    """Give another role; a higher one takes the scope `admin` from the credentials that the person has.

    Raises ConflictError (`last_owner`) when nobody would own the organisation.
    """
    row = _one(turn, user_id, query)
    _check_outranked(turn, row)
    role = checked_role(change.role)
    if not may_give_role(turn.caller, role):
        raise turn.denied()
    if role != row.role:
        _check_not_last_owner(turn, row)
        if ROLES.index(role) < ROLES.index(row.role):
            # Whoever made their keys may know them, and must not rise with them.
            take_scope_of_user(turn.connection, row.organization_id, row.user_id, "admin", turn.revision)
        set_role(turn.connection, row.organization_id, row.user_id, role)
    return member_object(msgspec.structs.replace(row, role=role))


def remove_one_member(turn: Transaction, user_id: str, query: Mapping[str, str]) -> MemberObject:
    """End a membership and revoke the person's credentials there. Raises as `change_member`."""
    row = _one(turn, user_id, query)
    _check_outranked(turn, row)
    _check_not_last_owner(turn, row)
    revoke_of_user(turn.connection, row.organization_id, row.user_id, turn.revision, now_ns=turn.now_ns)
    remove_member(turn.connection, row.organization_id, row.user_id)
    return member_object(row)


def _one(turn: Transaction, user_id: str, query: Mapping[str, str]) -> MemberRow:
    organization = chosen_organization(turn, query.get("organization"))
    row = member_of_id(turn, organization.id, user_id)
    turn.allow(Located(organization.id, user=row.user_id))
    return row


def _check_outranked(turn: Transaction, row: MemberRow) -> None:
    if not may_act_as(turn.caller, row.user_id, row.role, row.operator):
        raise turn.denied()


def _check_not_last_owner(turn: Transaction, row: MemberRow) -> None:
    if row.role == "owner" and count_owners(turn.connection, row.organization_id) == 1:
        raise ConflictError(
            f'"{row.user_id}" is the last owner; make somebody else an owner first.', code="last_owner"
        )
