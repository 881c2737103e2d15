"""Finds what a caller may see. All else is the same nothing, whether it exists or not."""

from __future__ import annotations

from typing import TypeVar

from abyssal.platform.identity.ids import is_id
from abyssal.platform.identity.rules import Located, Reach, reach
from abyssal.platform.identity.transaction import Transaction, nothing_here
from abyssal.stores.sql.credentials import CredentialRow, find_credential
from abyssal.stores.sql.members import MemberRow, find_member
from abyssal.stores.sql.organizations import OrganizationRow, find_organization, live_organizations
from abyssal.stores.sql.projects import ProjectRow, find_project, live_projects
from abyssal.wire.errors import BadRequestError, ConflictError

T = TypeVar("T")

_DEFAULT = "default"  # what the first start calls its organisation and its project


def organization_of_id(turn: Transaction, organization_id: str) -> OrganizationRow:
    """The organisation; NotFoundError unless the caller may read it."""
    found = find_organization(turn.connection, organization_id) if is_id(organization_id) else None
    if found is None:
        raise nothing_here()
    turn.allow(Located(found.id), "organization:read")
    return found


def project_of_id(turn: Transaction, project_id: str) -> ProjectRow:
    """The project; NotFoundError unless the caller may read it."""
    found = find_project(turn.connection, project_id) if is_id(project_id) else None
    if found is None:
        raise nothing_here()
    turn.allow(Located(found.organization_id, found.id), "project:read")
    return found


def member_of_id(turn: Transaction, organization: str, user_id: str) -> MemberRow:
    """The member; NotFoundError unless the caller may read the organisation's members."""
    found = find_member(turn.connection, organization, user_id) if is_id(user_id) else None
    if found is None:
        raise nothing_here()
    turn.allow(Located(organization, user=found.user_id), "member:read")
    return found


def credential_of_id(turn: Transaction, kind: str, credential_id: str) -> CredentialRow:
    """The credential of that kind; NotFoundError unless the caller may read it."""
    found = find_credential(turn.connection, kind, credential_id) if is_id(credential_id) else None
    if found is None:
        raise nothing_here()
    turn.allow(place_of(found), "credential:read")
    return found


def place_of(row: CredentialRow) -> Located:
    """Where a credential is."""
    return Located(row.organization_id, row.project_id, row.user_id)


def chosen_organization(turn: Transaction, named: str | None) -> OrganizationRow:
    """The organisation that a request names; else the caller's; else the platform's only or default one.

    NotFoundError as above, BadRequestError (`organization`) when none can be chosen.
    """
    if named is not None:
        return organization_of_id(turn, named)
    if turn.caller.organization:
        found = find_organization(turn.connection, turn.caller.organization)
        if found is None:
            raise nothing_here()
        return found
    return _only_one(
        live_organizations(turn.connection, name=None, count=2),
        live_organizations(turn.connection, name=_DEFAULT, count=2),
        "organization",
    )


def chosen_project(turn: Transaction, named: str | None) -> ProjectRow:
    """The project that a request names; else the caller's; else the organisation's only or default one.

    NotFoundError as above, BadRequestError (`project`) when none can be chosen.
    """
    if named is not None:
        return project_of_id(turn, named)
    if turn.caller.project:
        return project_of_id(turn, turn.caller.project)
    organization = chosen_organization(turn, None)
    return _only_one(
        live_projects(turn.connection, organization.id, name=None, count=2),
        live_projects(turn.connection, organization.id, name=_DEFAULT, count=2),
        "project",
    )


def bounds(
    turn: Transaction, organization: str | None = None, project: str | None = None
) -> tuple[str | None, str | None]:
    """Which organisation and which project a list is kept to (None: any), for what the request asked.

    NotFoundError for one that the caller cannot see, PermissionDeniedError where nothing can be listed.
    """
    caller, far = turn.caller, reach(turn.caller, turn.permission)
    if far <= Reach.OWN:
        raise turn.denied()
    turn.judged = True
    if project is not None:
        row = project_of_id(turn, project)
        if organization is not None and organization != row.organization_id:
            raise nothing_here()
        return row.organization_id, row.id
    if far is Reach.EVERYTHING:
        return (None if organization is None else organization_of_id(turn, organization).id), None
    if organization is not None and organization != caller.organization:
        raise nothing_here()
    return caller.organization, caller.project if far is Reach.PROJECT else None


def check_open(row: OrganizationRow | ProjectRow) -> None:
    """Raise ConflictError when it is archived: nothing in it can be changed or made any more."""
    if row.archived_at is not None:
        raise ConflictError(f'"{row.id}" is archived; choose one that is not.', code="archived")


def _only_one(all_of_them: list[T], by_default: list[T], field: str) -> T:
    for found in (all_of_them, by_default):
        if len(found) == 1:
            return found[0]
    raise BadRequestError(
        f'"{field}" is missing, and there is no single one to choose; name one.',
        param=field,
        code="missing_field",
    )
