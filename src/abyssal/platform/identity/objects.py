"""Rows as the JSON objects that the routes answer with: times in ISO 8601, UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from abyssal.platform.identity.rules import Caller
from abyssal.stores.rights import scopes_of
from abyssal.stores.sql.credential_secrets import SecretRow
from abyssal.stores.sql.credentials import CredentialRow
from abyssal.stores.sql.members import MemberRow
from abyssal.stores.sql.notifications import NotificationRow
from abyssal.stores.sql.organizations import OrganizationRow
from abyssal.stores.sql.projects import ProjectRow

Names = Sequence[str] | None


class OrganizationObject(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation."""

    id: str
    object: str = "organization"
    name: str
    scopes: Names
    models: Names
    networks: Names
    created_at: str
    archived_at: str | None


class ProjectObject(msgspec.Struct, frozen=True, kw_only=True):
    """A project."""

    id: str
    object: str = "project"
    name: str
    organization: str
    scopes: Names
    models: Names
    networks: Names
    created_at: str
    archived_at: str | None


class MemberObject(msgspec.Struct, frozen=True, kw_only=True):
    """A person in an organisation; `id` and `user` are both the person's."""

    id: str
    object: str = "member"
    user: str
    organization: str
    email: str
    name: str
    role: str
    created_at: str


class SecretObject(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that is in force, but for the secret itself."""

    id: str
    hint: str
    created_at: str
    expires_at: str | None


class CredentialObject(msgspec.Struct, frozen=True, kw_only=True):
    """A credential. `secret` is in the answers that make one, and nowhere else."""

    id: str
    object: str
    name: str
    project: str
    organization: str
    user: str | None
    scopes: Sequence[str]
    models: Names
    networks: Names
    hint: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    secrets: list[SecretObject]
    secret: str | UnsetType = UNSET


class CallerObject(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    object: str = "caller"
    credential: str | None
    project: str | None
    organization: str | None
    user: str | None
    role: str
    scopes: Sequence[str]


class NotificationObject(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an organisation should know."""

    id: str
    object: str = "notification"
    organization: str
    kind: str
    subject: str
    message: str
    created_at: str


def organization_object(row: OrganizationRow) -> OrganizationObject:
    return OrganizationObject(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        models=row.models,
        networks=row.networks,
        created_at=moment(row.created_at),
        archived_at=optional_moment(row.archived_at),
    )


def project_object(row: ProjectRow) -> ProjectObject:
    return ProjectObject(
        id=row.id,
        name=row.name,
        organization=row.organization_id,
        scopes=row.scopes,
        models=row.models,
        networks=row.networks,
        created_at=moment(row.created_at),
        archived_at=optional_moment(row.archived_at),
    )


def member_object(row: MemberRow) -> MemberObject:
    return MemberObject(
        id=row.user_id,
        user=row.user_id,
        organization=row.organization_id,
        email=row.email,
        name=row.name,
        role=row.role,
        created_at=moment(row.created_at),
    )


def credential_object(
    row: CredentialRow, secrets: Iterable[SecretRow], secret: str | None = None
) -> CredentialObject:
    """`secrets` are the live ones, oldest first; `secret` is what nobody sees again."""
    shown = [
        SecretObject(
            id=one.id,
            hint=one.hint,
            created_at=moment(one.created_at),
            expires_at=optional_moment(one.expires_at),
        )
        for one in secrets
    ]
    return CredentialObject(
        id=row.id,
        object=row.kind,
        name=row.name,
        project=row.project_id,
        organization=row.organization_id,
        user=row.user_id,
        scopes=row.scopes,
        models=row.models,
        networks=row.networks,
        hint=shown[-1].hint if shown else "",
        created_at=moment(row.created_at),
        expires_at=optional_moment(row.expires_at),
        revoked_at=optional_moment(row.revoked_at),
        last_used_at=optional_moment(row.last_used_at),
        secrets=shown,
        secret=UNSET if secret is None else secret,
    )


def caller_object(caller: Caller) -> CallerObject:
    return CallerObject(
        credential=caller.credential or None,
        project=caller.project or None,
        organization=caller.organization or None,
        user=caller.user,
        role=caller.standing,
        scopes=scopes_of(caller.limits.scopes),
    )


def notification_object(row: NotificationRow) -> NotificationObject:
    return NotificationObject(
        id=row.id,
        organization=row.organization_id,
        kind=row.kind,
        subject=row.subject,
        message=row.message,
        created_at=moment(row.created_at),
    )


def moment(unix_ns: int) -> str:
    """Unix nanoseconds as `2026-11-21T04:02:00Z`, whole seconds."""
    return datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def optional_moment(unix_ns: int | None) -> str | None:
    return None if unix_ns is None else moment(unix_ns)
