"""Which object a person means: by its id, by its name where one alone has it; else what is near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from urllib.parse import quote

import msgspec

from abyssal.cli.management import Management, Object, pages
from abyssal.wire.errors import ConfigurationError, NotFoundError

_ID = re.compile(r"[a-z]+_[0-9a-f]{16,}")
_LOOKED_THROUGH = 1000  # objects, for a name that is near
_SHOWN = 3


class Noun(msgspec.Struct, frozen=True):
    """What a command is about: what one and several are called, the command, the path of the list.

    `names` are the fields that it is found by, besides `id`. `ended` is the field with the time at which it
    went out of use: what has one is meant only if nothing else is.
    """

    one: str
    several: str
    command: str
    path: str
    names: tuple[str, ...] = ("name",)
    ended: str = ""


def find(management: Management, noun: Noun, word: str, query: Mapping[str, str]) -> Object:
    """The object whose id or name is `word`.

    Raises ConfigurationError when there is none (names the nearest) or more than one (names their ids).
    """
    looks_like_id = _ID.fullmatch(word) is not None
    if looks_like_id:
        try:
            return management.request("GET", place(noun, word), query=query)
        except NotFoundError:
            pass  # a name may look like an id; else the ids that are near say more than this
    listed = pages(management, noun.path, query)
    if looks_like_id:
        listed = islice(listed, _LOOKED_THROUGH)
    seen: list[Object] = []
    meant: list[Object] = []
    for found in listed:
        if found["id"] == word:
            return found
        if any(found.get(name) == word for name in noun.names):
            meant.append(found)
        if len(seen) < _LOOKED_THROUGH:
            seen.append(found)
    meant = [found for found in meant if not found.get(noun.ended)] or meant
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(found["id"] for found in meant[:20])
        raise ConfigurationError(
            f'There are {len(meant)} {noun.several} named "{word}"; give the id of one: {ids}'
        )
    raise ConfigurationError(_unknown(noun, word, seen))


def place(noun: Noun, object_id: str) -> str:
    """The path of one object."""
    return f"{noun.path}/{quote(object_id, safe='')}"


def _unknown(noun: Noun, word: str, seen: Iterable[Object]) -> str:
    known: dict[str, str] = {}  # what may have been meant: the id to give
    for found in seen:
        for field in ("id", *noun.names):
            if isinstance(found.get(field), str):
                known.setdefault(found[field], found["id"])
    near = get_close_matches(word, known, n=_SHOWN, cutoff=0.7)
    message = f'There is no {noun.one} "{word}"'
    if not near:
        return f"{message}; `abyssal {noun.command} list` shows them."
    shown = [name if known[name] == name else f"{name} ({known[name]})" for name in near]
    return f"{message}; near ones: {', '.join(shown)}"
