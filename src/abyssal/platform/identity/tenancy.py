"""What organisations and projects have in common: a name, limits, and an end."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import UNSET

from abyssal.platform.identity.drafts import CredentialChange, LimitsChange, OrganizationDraft
from abyssal.platform.identity.limits import Limits, Names
from abyssal.platform.identity.values import checked_limits, checked_name
from abyssal.stores.rights import scopes_of
from abyssal.stores.sql.credentials import CredentialRow
from abyssal.stores.sql.organizations import OrganizationRow
from abyssal.stores.sql.projects import ProjectRow
from abyssal.wire.errors import ConflictError

Row = TypeVar("Row", OrganizationRow, ProjectRow, CredentialRow)


def lists_of(draft: OrganizationDraft) -> tuple[Names | None, Names | None, Names | None]:
    """Scopes, models and networks of a new row; BadRequestError for what is none."""
    limits = checked_limits(draft.scopes, draft.models, draft.networks)
    return _named(draft.scopes, limits), limits.models, limits.networks


def applied(row: Row, change: LimitsChange | CredentialChange) -> Row:
    """`row` with the name, scopes, models and networks that `change` sets.

    BadRequestError for what is none.
    """
    scopes = None if change.scopes is UNSET else change.scopes
    models = None if change.models is UNSET else change.models
    networks = None if change.networks is UNSET else change.networks
    limits = checked_limits(scopes, models, networks)
    new: dict[str, object] = {}
    if change.name is not UNSET:
        new["name"] = checked_name(change.name)
    if change.scopes is not UNSET:
        new["scopes"] = _named(scopes, limits)
    if change.models is not UNSET:
        new["models"] = limits.models
    if change.networks is not UNSET:
        new["networks"] = limits.networks
    return msgspec.structs.replace(row, **new)


def check_not_own(row_id: str, callers: str) -> None:
    """Raise ConflictError when what is to be archived holds the credential that asks."""
    if row_id == callers:
        raise ConflictError(
            f'"{row_id}" holds the credential that asks; archive it with one from elsewhere.', code="in_use"
        )


def _named(scopes: Names | None, limits: Limits) -> Names | None:
    """Scopes in their usual order, once each; None stays None."""
    return None if scopes is None else scopes_of(limits.scopes)
