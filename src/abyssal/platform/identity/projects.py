"""Projects: what holds credentials together, with limits within their organisation's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from abyssal.platform.identity.drafts import LimitsChange, ProjectDraft
from abyssal.platform.identity.ids import new_id
from abyssal.platform.identity.limits import check_within, limits_of
from abyssal.platform.identity.objects import ProjectObject, project_object
from abyssal.platform.identity.pages import Page, asked_page, page
from abyssal.platform.identity.rules import Located
from abyssal.platform.identity.sight import bounds, check_open, chosen_organization, project_of_id
from abyssal.platform.identity.tenancy import applied, check_not_own, lists_of
from abyssal.platform.identity.transaction import Transaction, nothing_here
from abyssal.platform.identity.values import checked_name
from abyssal.stores.sql.organizations import OrganizationRow, find_organization
from abyssal.stores.sql.projects import ProjectRow, add_project, page_projects, write_project


def list_projects(turn: Transaction, query: Mapping[str, str]) -> Page[ProjectObject]:
    """Those that the caller may see."""
    organization, project = bounds(turn, query.get("organization"))
    return page(
        turn.vault,
        asked_page(turn.vault, "projects", query),
        lambda after, count: page_projects(
            turn.connection, organization=organization, project=project, after=after, count=count
        ),
        lambda row: (row.created_at, row.id),
        lambda rows: [project_object(row) for row in rows],
    )


def create_project(turn: Transaction, draft: ProjectDraft) -> ProjectObject:
    """A new one. Raises BadRequestError when it would exceed its organisation."""
    organization = chosen_organization(turn, draft.organization)
    turn.allow(Located(organization.id))
    check_open(organization)
    row = ProjectRow(new_id("proj"), organization.id, checked_name(draft.name), *lists_of(draft), turn.now_ns)
    _check(row, organization)
    add_project(turn.connection, row, turn.revision)
    return project_object(row)


def show_project(turn: Transaction, project_id: str, query: Mapping[str, str]) -> ProjectObject:
    """One; where the query names an organisation, one of its."""
    row = _one(turn, project_id)
    if query.get("organization", row.organization_id) != row.organization_id:
        raise nothing_here()
    return project_object(row)


def change_project(turn: Transaction, project_id: str, change: LimitsChange) -> ProjectObject:
    """Name and limits; they stay within the organisation's. Credentials lose at once what it loses."""
    row = _one(turn, project_id)
    check_open(row)
    changed = applied(row, change)
    _check(changed, find_organization(turn.connection, row.organization_id))
    write_project(turn.connection, changed, turn.revision)
    return project_object(changed)


def archive_project(turn: Transaction, project_id: str) -> ProjectObject:
    """Take it and all of its credentials out of force, for good. Archiving again changes nothing."""
    row = _one(turn, project_id)
    check_not_own(row.id, turn.caller.project)
    if row.archived_at is None:
        row = msgspec.structs.replace(row, archived_at=turn.now_ns)
        write_project(turn.connection, row, turn.revision)
    return project_object(row)


def _one(turn: Transaction, project_id: str) -> ProjectRow:
    row = project_of_id(turn, project_id)
    turn.allow(Located(row.organization_id, row.id))
    return row


def _check(row: ProjectRow, organization: OrganizationRow | None) -> None:
    if organization is None:
        raise nothing_here()
    own = limits_of(row.scopes, row.models, row.networks)
    above = limits_of(organization.scopes, organization.models, organization.networks)
    # What a project does not limit, its organisation does in its place.
    if row.scopes is None:
        own = msgspec.structs.replace(own, scopes=above.scopes)
    check_within(own, above, "the organisation")
