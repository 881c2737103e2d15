"""What callers send to make or change something: shapes and sizes. Unknown fields are errors.

In a change a field that is absent stays as it is, and null takes a limit away.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from abyssal.platform.identity.values import LONGEST_LIFE

Text = Annotated[str, Meta(max_length=400)]
Id = Annotated[str, Meta(max_length=100)]
RoleName = Annotated[str, Meta(max_length=40)]
Scopes = Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(min_length=1, max_length=32)]
Models = Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(min_length=1, max_length=500)]
Networks = Annotated[tuple[Annotated[str, Meta(max_length=60)], ...], Meta(min_length=1, max_length=64)]
Moment = Annotated[datetime, Meta(tz=True)]
Overlap = Annotated[int, Meta(ge=0, le=365 * 86_400)]
PublicKey = Annotated[str, Meta(max_length=4096)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JSON object."""


class Nothing(_Body, frozen=True, kw_only=True):
    """No field at all."""


class OrganizationDraft(_Body, frozen=True, kw_only=True):
    """A new organisation; null is no limit."""

    name: Text
    scopes: Scopes | None = None
    models: Models | None = None
    networks: Networks | None = None


class ProjectDraft(OrganizationDraft, frozen=True, kw_only=True):
    """A new project, in the caller's organisation unless it names one."""

    organization: Id | None = None


class LimitsChange(_Body, frozen=True, kw_only=True):
    """What may be changed of an organisation and of a project."""

    name: Text | UnsetType = UNSET
    scopes: Scopes | UnsetType | None = UNSET
    models: Models | UnsetType | None = UNSET
    networks: Networks | UnsetType | None = UNSET


class MemberDraft(_Body, frozen=True, kw_only=True):
    """Somebody to be a member; `name` is for a person whom the platform does not know yet."""

    email: Text
    role: RoleName
    name: Text | None = None
    organization: Id | None = None


class MemberChange(_Body, frozen=True, kw_only=True):
    """Another role."""

    role: RoleName


class CredentialDraft(_Body, frozen=True, kw_only=True):
    """A new credential, in the caller's project unless it names one. `expires_in` is in seconds.

    `user`: whose it is. Absent: a member's own, else nobody's (a service's).
    """

    name: Text
    project: Id | None = None
    user: Id | None = None
    scopes: Scopes | None = None
    models: Models | None = None
    networks: Networks | None = None
    expires_at: Moment | None = None
    expires_in: Annotated[int, Meta(ge=1, le=LONGEST_LIFE)] | None = None


class PublicKeyDraft(CredentialDraft, frozen=True, kw_only=True):
    """A new public key: PEM or base64."""

    public_key: PublicKey


class CredentialChange(_Body, frozen=True, kw_only=True):
    """What may be changed of a credential."""

    name: Text | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    models: Models | UnsetType | None = UNSET
    networks: Networks | UnsetType | None = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class Rotation(_Body, frozen=True, kw_only=True):
    """How long (seconds) the secret of before is good beside the new one; 0: it ends at once."""

    overlap: Overlap = 86_400


class PublicKeyRotation(Rotation, frozen=True, kw_only=True):
    """As above; the new key comes from its owner."""

    public_key: PublicKey
