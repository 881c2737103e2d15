"""Lists, page by page: `?limit=` and `?after=`, a cursor that the platform signs.

A cursor is base64url(first 16 bytes of HMAC-SHA256 + msgpack of the list's name and the last row's position).
One that was changed, or is of another list, is refused; it gives no right, since each page is judged anew.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from abyssal.stores.sql.columns import Position
from abyssal.stores.sql.vault import Vault
from abyssal.wire.errors import BadRequestError

QUERY = ("limit", "after")
_MOST, _USUAL = 200, 50
_MAC, _LONGEST = 16, 200

Row = TypeVar("Row")
Shown = TypeVar("Shown")


class Page(msgspec.Struct, Generic[Shown], frozen=True, kw_only=True):
    """A page as it is answered. `next` goes into `?after=`; None on the last page."""

    object: str = "list"
    data: Sequence[Shown]
    has_more: bool
    next: str | None


class Asked(msgspec.Struct, frozen=True):
    """Which page of which list."""

    list: str
    limit: int
    after: Position | None


def asked_page(vault: Vault, name: str, query: Mapping[str, str]) -> Asked:
    """What the query asks of the list called `name`. Raises BadRequestError (`limit`, `after`)."""
    limit = query.get("limit", str(_USUAL))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= _MOST):
        raise BadRequestError(f'"limit": an integer from 1 to {_MOST}.', param="limit", code="invalid_value")
    after = query.get("after")
    return Asked(name, int(limit), None if after is None else _position(vault, name, after))


def page(
    vault: Vault,
    asked: Asked,
    read: Callable[[Position | None, int], list[Row]],
    position: Callable[[Row], Position],
    show: Callable[[list[Row]], Sequence[Shown]],
) -> Page[Shown]:
    """The page: `read(after, count)` gives rows, `position` a row's place in the list, `show` objects."""
    rows = read(asked.after, asked.limit + 1)
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    cursor = _cursor(vault, asked.list, position(rows[-1])) if more else None
    return Page(data=show(rows), has_more=more, next=cursor)


def _cursor(vault: Vault, name: str, position: Position) -> str:
    payload = msgspec.msgpack.encode((name, *position))
    return _text(_mac(vault, payload) + payload)


def _position(vault: Vault, name: str, cursor: str) -> Position:
    try:
        if len(cursor) > _LONGEST:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
        mac, payload = sealed[:_MAC], sealed[_MAC:]
        if _text(sealed) != cursor or not hmac.compare_digest(mac, _mac(vault, payload)):
            raise ValueError("not ours")
        whose, created_at, row_id = msgspec.msgpack.decode(payload, type=tuple[str, int, str])
        if whose != name:
            raise ValueError("of another list")
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BadRequestError(
            '"after": this is no cursor of this list; send the "next" of the page before, unchanged.',
            param="after",
            code="invalid_value",
        ) from None
    return created_at, row_id


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _mac(vault: Vault, payload: bytes) -> bytes:
    return hmac.digest(vault.hash_key(), b"cursor\0" + payload, "sha256")[:_MAC]
