"""Credentials of every kind: made, shown, changed, revoked. Rotation is beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET

from abyssal.platform.identity.drafts import CredentialChange, CredentialDraft, PublicKeyDraft
from abyssal.platform.identity.ids import new_id
from abyssal.platform.identity.limits import Limits, check_within, clipped, joined, limits_of
from abyssal.platform.identity.new_secrets import new_secret
from abyssal.platform.identity.objects import CredentialObject, credential_object
from abyssal.platform.identity.pages import Page, asked_page, page
from abyssal.platform.identity.rules import Located, ceiling, may_act_as
from abyssal.platform.identity.sight import (
    bounds,
    check_open,
    chosen_project,
    credential_of_id,
    member_of_id,
    place_of,
)
from abyssal.platform.identity.tenancy import applied
from abyssal.platform.identity.transaction import Transaction, nothing_here
from abyssal.platform.identity.values import checked_end, checked_limits, checked_name
from abyssal.stores.rights import ALL_SCOPES, BITS, PREFIXES, scopes_of
from abyssal.stores.sql.credential_secrets import add_secrets, live_secrets
from abyssal.stores.sql.credentials import CredentialRow, add_credential, page_credentials, write_credential
from abyssal.stores.sql.organizations import find_organization
from abyssal.stores.sql.projects import find_project
from abyssal.wire.errors import BadRequestError, ConflictError

# What a credential has when nobody said: the rest is asked for by name.
USUAL_SCOPES = ALL_SCOPES & ~BITS["admin"] & ~BITS["models:train"]
_SECOND = 1_000_000_000


def list_credentials(turn: Transaction, kind: str, query: Mapping[str, str]) -> Page[CredentialObject]:
    """Those of a kind that the caller may see, in force or not."""
    organization, project = bounds(turn, query.get("organization"), query.get("project"))
    return page(
        turn.vault,
        asked_page(turn.vault, kind, query),
        lambda after, count: page_credentials(
            turn.connection, kind, organization=organization, project=project, after=after, count=count
        ),
        lambda row: (row.created_at, row.id),
        lambda rows: _shown(turn, rows),
    )


def create_credential(turn: Transaction, kind: str, draft: CredentialDraft) -> CredentialObject:
    """A new one; the answer has its secret.

    Raises BadRequestError when it would exceed its project or its giver, PermissionDeniedError when it would
    act as somebody whom the caller may not act as.
    """
    project = chosen_project(turn, draft.project)
    user = draft.user
    if user is None and turn.caller.standing == "member":
        user = turn.caller.user
    turn.allow(Located(project.organization_id, project.id, user))
    if user is not None:
        whose = member_of_id(turn, project.organization_id, user)
        if not may_act_as(turn.caller, whose.user_id, whose.role, whose.operator):
            raise turn.denied()
    check_open(project)
    above = limits_above(turn, project.id)
    wanted = msgspec.structs.replace(
        checked_limits(draft.scopes, draft.models, draft.networks),
        expires_at=_end(turn, draft.expires_at, draft.expires_in),
    )
    given = _given(turn, wanted, above, named=draft.scopes is not None)
    row = CredentialRow(
        id=new_id(PREFIXES[kind]),
        kind=kind,
        project_id=project.id,
        user_id=user,
        name=checked_name(draft.name),
        scopes=scopes_of(given.scopes),
        models=given.models,
        networks=given.networks,
        created_at=turn.now_ns,
        expires_at=given.expires_at,
        organization_id=project.organization_id,
    )
    public_key = draft.public_key if isinstance(draft, PublicKeyDraft) else None
    secret, text = new_secret(turn, row, public_key)
    add_credential(turn.connection, row, turn.revision)
    add_secrets(turn.connection, [secret])
    return credential_object(row, [secret], text)


def show_credential(turn: Transaction, kind: str, credential_id: str) -> CredentialObject:
    """One."""
    return _shown(turn, [one_credential(turn, kind, credential_id)])[0]


def change_credential(
    turn: Transaction, kind: str, credential_id: str, change: CredentialChange
) -> CredentialObject:
    """Name, rights, end. Raises as `create_credential`, ConflictError (`revoked`) when it is out of force."""
    row = one_credential(turn, kind, credential_id)
    check_may_hold(turn, row)
    check_not_revoked(row)
    changed = applied(row, change)
    if change.expires_at is not UNSET:
        end = checked_end(change.expires_at, now_ns=turn.now_ns)
        changed = msgspec.structs.replace(changed, expires_at=end)
    _check_change(turn, row, changed, change)
    write_credential(turn.connection, changed, turn.revision)
    return _shown(turn, [changed])[0]


def revoke_credential(turn: Transaction, kind: str, credential_id: str) -> CredentialObject:
    """Take it out of force, for good. Revoking again changes nothing."""
    row = one_credential(turn, kind, credential_id)
    check_may_hold(turn, row)
    if row.revoked_at is None:
        row = msgspec.structs.replace(row, revoked_at=turn.now_ns)
        write_credential(turn.connection, row, turn.revision)
    return _shown(turn, [row])[0]


def one_credential(turn: Transaction, kind: str, credential_id: str) -> CredentialRow:
    """The credential that a route is about; NotFoundError, PermissionDeniedError as the rules say."""
    row = credential_of_id(turn, kind, credential_id)
    turn.allow(place_of(row))
    return row


def check_may_hold(turn: Transaction, row: CredentialRow) -> None:
    """Raise PermissionDeniedError when the credential acts as somebody whom the caller may not act as."""
    if not may_act_as(turn.caller, row.user_id, row.user_role, bool(row.user_operator)):
        raise turn.denied()


def check_not_revoked(row: CredentialRow) -> None:
    """Raise ConflictError when it is out of force."""
    if row.revoked_at is not None:
        raise ConflictError(f'"{row.id}" is revoked; make a new one.', code="revoked")


def limits_above(turn: Transaction, project_id: str) -> Limits:
    """What a project and its organisation both allow."""
    project = find_project(turn.connection, project_id)
    organization = project and find_organization(turn.connection, project.organization_id)
    if project is None or organization is None:
        raise nothing_here()
    return joined(
        *(limits_of(level.scopes, level.models, level.networks) for level in (project, organization))
    )


def _given(turn: Transaction, wanted: Limits, above: Limits, *, named: bool) -> Limits:
    """The rights of a new credential. `named`: the request said which scopes."""
    giver = ceiling(turn.caller)
    most = above.scopes if giver is None else above.scopes & giver.scopes
    if not named:
        wanted = msgspec.structs.replace(wanted, scopes=USUAL_SCOPES & most)
        if not wanted.scopes:
            raise BadRequestError(
                '"scopes" is missing; name those that it needs.', param="scopes", code="missing_field"
            )
    check_within(wanted, above, "the project")
    if giver is None:
        return wanted
    wanted = clipped(wanted, giver)
    check_within(wanted, giver, "the credential that asks", inherits=False)
    return wanted


def _check_change(
    turn: Transaction, before: CredentialRow, after: CredentialRow, change: CredentialChange
) -> None:
    """Only what was set is judged: what was allowed once may stay."""
    limits = limits_of(after.scopes, after.models, after.networks, after.expires_at)
    if change.scopes is UNSET:
        limits = msgspec.structs.replace(limits, scopes=0)
    above = limits_above(turn, before.project_id)
    check_within(_set_only(limits, change, above), above, "the project")
    giver = ceiling(turn.caller)
    if giver is not None:
        # A member's own credential with the scope admin keeps it, though a member gives it to none.
        kept = limits_of(before.scopes, None, None).scopes & turn.caller.limits.scopes
        giver = msgspec.structs.replace(giver, scopes=giver.scopes | kept)
        check_within(_set_only(limits, change, giver), giver, "the credential that asks", inherits=False)


def _set_only(limits: Limits, change: CredentialChange, parent: Limits) -> Limits:
    """`limits`, where `change` sets nothing those of `parent`."""
    return Limits(
        limits.scopes,
        parent.models if change.models is UNSET else limits.models,
        parent.networks if change.networks is UNSET else limits.networks,
        parent.expires_at if change.expires_at is UNSET else limits.expires_at,
    )


def _end(turn: Transaction, at: datetime | None, seconds: int | None) -> int | None:
    if at is not None and seconds is not None:
        raise BadRequestError(
            '"expires_at" and "expires_in" are two ways to say one thing; send one.', param="expires_in"
        )
    if seconds is not None:
        return turn.now_ns + seconds * _SECOND
    return checked_end(at, now_ns=turn.now_ns)


def _shown(turn: Transaction, rows: Sequence[CredentialRow]) -> list[CredentialObject]:
    secrets = live_secrets(turn.connection, [row.id for row in rows], now_ns=turn.now_ns)
    return [credential_object(row, secrets.get(row.id, ())) for row in rows]
