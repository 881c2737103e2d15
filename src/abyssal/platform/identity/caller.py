"""Finds out who asks, from the database, at each request: what was revoked a moment ago is nobody."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from abyssal.platform.identity.ids import is_id
from abyssal.platform.identity.limits import Limits, joined, limits_of
from abyssal.platform.identity.rules import Caller
from abyssal.stores.sql.callers import Level, find_caller
from abyssal.wire.errors import AuthenticationError


def load_caller(connection: Connection, credential_id: str, scopes: int, *, now_ns: int) -> Caller:
    """The caller behind a credential whose proof carries `scopes` (bits of `stores.rights`).

    Raises AuthenticationError, always the same, for one that is unknown, revoked, expired, of an archived
    project, or of a person who is no member any more.
    """
    found = find_caller(connection, credential_id) if is_id(credential_id) else None
    if (
        found is None
        or found.archived
        or found.revoked_at is not None
        or (found.expires_at is not None and found.expires_at <= now_ns)
        or (found.user is not None and found.role is None and not found.operator)
    ):
        raise AuthenticationError(
            "These credentials are not in force; use others, or ask an owner for new ones."
        )
    own, project, organization = (_limits(level) for level in found.levels)
    own = msgspec.structs.replace(own, expires_at=found.expires_at)
    return Caller(
        credential=found.credential,
        user=found.user,
        organization=found.organization,
        project=found.project,
        role=found.role,
        operator=bool(found.operator),
        limits=joined(own, project, organization, Limits(scopes)),
    )


def _limits(level: Level) -> Limits:
    return limits_of(level.scopes, level.models, level.networks)
