"""What an organisation's people should know: listed here, written by whoever notices it."""

from __future__ import annotations

from collections.abc import Mapping

from abyssal.platform.identity.objects import NotificationObject, notification_object
from abyssal.platform.identity.pages import Page, asked_page, page
from abyssal.platform.identity.sight import bounds
from abyssal.platform.identity.transaction import Transaction
from abyssal.stores.sql.notifications import page_notifications


def list_notifications(turn: Transaction, query: Mapping[str, str]) -> Page[NotificationObject]:
    """Those of the organisations that the caller may see, oldest first."""
    organization, _ = bounds(turn, query.get("organization"))
    return page(
        turn.vault,
        asked_page(turn.vault, "notifications", query),
        lambda after, count: page_notifications(
            turn.connection, organization=organization, after=after, count=count
        ),
        lambda row: (row.created_at, row.id),
        lambda rows: [notification_object(row) for row in rows],
    )
