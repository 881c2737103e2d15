"""How lists rest in text columns, and how a list is read page by page. It knows no table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVarTuple

import msgspec
from sqlalchemy import ColumnElement, Select, tuple_

Position = tuple[int, str]  # the last row of a page: when it was made (Unix nanoseconds), its id

Columns = TypeVarTuple("Columns")

_list = msgspec.json.Decoder(tuple[str, ...])


def list_text(values: Iterable[str]) -> str:
    """A list as a column keeps it: a JSON array."""
    return msgspec.json.encode(list(values)).decode()


def optional_text(values: Iterable[str] | None) -> str | None:
    """As `list_text`; None, which is no limit, stays None."""
    return None if values is None else list_text(values)


def list_of(text: str) -> tuple[str, ...]:
    """The other way."""
    return _list.decode(text)


def optional_list(text: str | None) -> tuple[str, ...] | None:
    """The other way for a column that may be NULL."""
    return None if text is None else _list.decode(text)


def page_of(
    query: Select[*Columns],
    created_at: ColumnElement[int],
    row_id: ColumnElement[str],
    after: Position | None,
    count: int,
) -> Select[*Columns]:
    """`query`, oldest first, `count` rows of it after `after`.

    What is added later comes last, so going from page to page neither repeats nor skips a row.
    """
    if after is not None:
        query = query.where(tuple_(created_at, row_id) > tuple_(*after))
    return query.order_by(created_at, row_id).limit(count)


def fitting(sizes: Iterable[int], most: int) -> int:
    """How many of the first `sizes` come to at most `most` together; at least one, also of none."""
    count = 0
    for size in sizes:
        most -= size
        if most < 0:
            break
        count += 1
    return max(count, 1)
