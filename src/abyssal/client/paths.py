"""Arguments as the end of a path: an id, a query."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from abyssal.client.params import request_body


def query(method: str, params: Mapping[str, object], known: Mapping[str, object]) -> str:
    """The arguments as a query with its question mark, "" for none. Raises TypeError as `request_body`."""
    fields = request_body(method, params, frozenset(known), ())
    return f"?{urlencode(fields)}" if fields else ""


def id_path(method: str, given: str) -> str:
    """A thing's id as the end of a path. Raises TypeError for one that is none."""
    if not isinstance(given, str) or not given:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{method}() needs an id, a string that is not empty; not {given!r}")
    return f"/{quote(given, safe='')}"
