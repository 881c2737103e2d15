"""Secrets that should have been rotated: who owns them is told once in each period."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from abyssal.platform.identity.ids import new_id
from abyssal.stores.sql.credential_secrets import OldSecret, count_old_secrets, mark_warned, old_secrets
from abyssal.stores.sql.notifications import NotificationRow, add_notifications

KIND = "secret_old"  # of the notification
_DAY = 86_400 * 1_000_000_000
_AT_ONCE = 1000  # secrets in one transaction; the next look finds the rest
_CALLED = {"api_key": "API key", "client": "client", "signing_key": "signing key", "public_key": "public key"}


def warn_of_old_secrets(engine: Engine, *, now_ns: int, rotate_after_days: int) -> list[OldSecret]:
    """Write a notification for each secret in use that is older than `rotate_after_days`, and give them back.

    None twice within that many days; of several nodes on one database, one does it. At most 1000 at a time.
    """
    made_before = now_ns - rotate_after_days * _DAY
    with engine.begin() as connection:
        found = old_secrets(connection, now_ns=now_ns, made_before=made_before, count=_AT_ONCE)
        if not found:
            return []
        add_notifications(connection, (_notification(secret, now_ns, rotate_after_days) for secret in found))
        mark_warned(connection, [secret.secret_id for secret in found], now_ns=now_ns)
    return found


def count_old(connection: Connection, *, now_ns: int, rotate_after_days: int) -> int:
    """How many secrets in use are older than `rotate_after_days`."""
    return count_old_secrets(connection, now_ns=now_ns, made_before=now_ns - rotate_after_days * _DAY)


def _notification(secret: OldSecret, now_ns: int, rotate_after_days: int) -> NotificationRow:
    age = (now_ns - secret.created_at) // _DAY
    return NotificationRow(
        new_id("note"),
        secret.organization_id,
        KIND,
        secret.credential_id,
        f'The secret ...{secret.hint} of the {_CALLED[secret.kind]} "{secret.name}" '
        f"({secret.credential_id}) is {age} days old, over the "
        f"{rotate_after_days} that are allowed; rotate it.",
        now_ns,
    )
