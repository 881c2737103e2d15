"""A new secret beside the old one.

1. The old one ends after the overlap, and never later than it would have.
2. At most two are good at a time: a rotation during an overlap ends the older of the two at once.
"""

from __future__ import annotations

import msgspec

from abyssal.platform.identity.credentials import (
    check_may_hold,
    check_not_revoked,
    limits_above,
    one_credential,
)
from abyssal.platform.identity.drafts import PublicKeyRotation, Rotation
from abyssal.platform.identity.limits import beyond, joined, limits_of
from abyssal.platform.identity.new_secrets import new_secret
from abyssal.platform.identity.objects import CredentialObject, credential_object
from abyssal.platform.identity.rules import ceiling
from abyssal.platform.identity.transaction import Transaction
from abyssal.stores.sql.credential_secrets import SecretRow, add_secrets, end_secret, live_secrets
from abyssal.stores.sql.credentials import CredentialRow, write_credential
from abyssal.wire.errors import ConflictError

_SECOND = 1_000_000_000


def rotate_credential(
    turn: Transaction, kind: str, credential_id: str, rotation: Rotation
) -> CredentialObject:
    """The credential with its new secret. Raises ConflictError when it is revoked or has expired.

    Whoever gives no more than they have (rules, 5) gets no secret of a credential that may do more.
    """
    row = one_credential(turn, kind, credential_id)
    check_may_hold(turn, row)
    _check_not_above_caller(turn, row)
    check_not_revoked(row)
    if row.expires_at is not None and row.expires_at <= turn.now_ns:
        raise ConflictError(f'"{row.id}" has expired; make a new one.', code="expired")
    before = live_secrets(turn.connection, [row.id], now_ns=turn.now_ns).get(row.id, [])
    ended = _ended(before, turn.now_ns, turn.now_ns + rotation.overlap * _SECOND)
    for secret in ended:
        end_secret(turn.connection, secret.id, expires_at=secret.expires_at or turn.now_ns)
    public_key = rotation.public_key if isinstance(rotation, PublicKeyRotation) else None
    fresh, text = new_secret(turn, row, public_key)
    add_secrets(turn.connection, [fresh])
    write_credential(turn.connection, row, turn.revision)
    good = [secret for secret in ended if (secret.expires_at or 0) > turn.now_ns]
    return credential_object(row, [*good, fresh], text)


def _ended(secrets: list[SecretRow], now_ns: int, end_ns: int) -> list[SecretRow]:
    """`secrets` (good ones, oldest first) with the end that a rotation gives them."""
    *older, newest = secrets or [None]
    ended = [msgspec.structs.replace(secret, expires_at=now_ns) for secret in older if secret is not None]
    if newest is not None:
        end = end_ns if newest.expires_at is None else min(newest.expires_at, end_ns)
        ended.append(msgspec.structs.replace(newest, expires_at=end))
    return ended


def _check_not_above_caller(turn: Transaction, row: CredentialRow) -> None:
    if ceiling(turn.caller) is None:
        return
    own = limits_of(row.scopes, row.models, row.networks, row.expires_at)
    if beyond(joined(own, limits_above(turn, row.project_id)), turn.caller.limits, inherits=False):
        raise turn.denied()
