"""Organisations: made and archived by operators, named and narrowed by their owners."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from abyssal.platform.identity.drafts import LimitsChange, OrganizationDraft
from abyssal.platform.identity.ids import new_id
from abyssal.platform.identity.limits import check_within, limits_of
from abyssal.platform.identity.objects import OrganizationObject, organization_object
from abyssal.platform.identity.pages import Page, asked_page, page
from abyssal.platform.identity.rules import Located
from abyssal.platform.identity.sight import bounds, check_open, organization_of_id
from abyssal.platform.identity.tenancy import applied, check_not_own, lists_of
from abyssal.platform.identity.transaction import Transaction
from abyssal.platform.identity.values import checked_name
from abyssal.stores.sql.organizations import (
    OrganizationRow,
    add_organization,
    page_organizations,
    write_organization,
)


def list_organizations(turn: Transaction, query: Mapping[str, str]) -> Page[OrganizationObject]:
    """Those that the caller may see: all for an operator, else their own."""
    within, _ = bounds(turn)
    return page(
        turn.vault,
        asked_page(turn.vault, "organizations", query),
        lambda after, count: page_organizations(
            turn.connection, organization=within, after=after, count=count
        ),
        lambda row: (row.created_at, row.id),
        lambda rows: [organization_object(row) for row in rows],
    )


def create_organization(turn: Transaction, draft: OrganizationDraft) -> OrganizationObject:
    """A new one, with nothing in it."""
    turn.allow(Located(""))
    row = OrganizationRow(new_id("org"), checked_name(draft.name), *lists_of(draft), turn.now_ns)
    add_organization(turn.connection, row)
    return organization_object(row)


def show_organization(turn: Transaction, organization_id: str) -> OrganizationObject:
    """One."""
    row = organization_of_id(turn, organization_id)
    turn.allow(Located(row.id))
    return organization_object(row)


def change_organization(turn: Transaction, organization_id: str, change: LimitsChange) -> OrganizationObject:
    """Name and limits. An owner may narrow what an operator allows, and not widen it."""
    row = organization_of_id(turn, organization_id)
    turn.allow(Located(row.id))
    check_open(row)
    changed = applied(row, change)
    if not turn.caller.operator:
        before = limits_of(row.scopes, row.models, row.networks)
        after = limits_of(changed.scopes, changed.models, changed.networks)
        check_within(after, before, "the operator", inherits=False)
    write_organization(turn.connection, changed, turn.revision)
    return organization_object(changed)


def archive_organization(turn: Transaction, organization_id: str) -> OrganizationObject:
    """Take it and all of its credentials out of force, for good. Archiving again changes nothing."""
    row = organization_of_id(turn, organization_id)
    turn.allow(Located(row.id))
    check_not_own(row.id, turn.caller.organization)
    if row.archived_at is None:
        row = msgspec.structs.replace(row, archived_at=turn.now_ns)
        write_organization(turn.connection, row, turn.revision)
    return organization_object(row)
