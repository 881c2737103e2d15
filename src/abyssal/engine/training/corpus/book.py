"""The tables that the text is made from, a TOML file for each language."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Pair = tuple[str, str]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ways to ask one thing, and the answers to it, the usual one first."""

    ask: tuple[str, ...]
    say: tuple[str, ...]


class Unknown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests beyond a small model: patterns with `{}`, what to put in, and how it says so."""

    ask: tuple[str, ...]
    topics: tuple[str, ...]
    say: tuple[str, ...]


class Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts of a story, to be combined freely, and the `text` that they are put into."""

    ask: tuple[str, ...]
    text: str
    animals: tuple[str, ...]
    places: tuple[str, ...]
    things: tuple[str, ...]
    deeds: tuple[str, ...]
    ends: tuple[str, ...]


class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is said in one language. Of each pair the first is asked for and the second is the answer."""

    language: Literal["en", "zh"]
    systems: tuple[str, ...]
    names: tuple[str, ...]
    cities: tuple[str, ...]
    days: tuple[str, ...]
    months: tuple[str, ...]
    copied: tuple[str, ...]
    colours: tuple[Pair, ...]
    capitals: tuple[Pair, ...]
    opposites: tuple[Pair, ...]
    translations: tuple[Pair, ...]
    story: Story
    unknown: Unknown
    greetings: tuple[Entry, ...]
    identity: tuple[Entry, ...]
    facts: tuple[Entry, ...]

    @property
    def chinese(self) -> bool:
        return self.language == "zh"


def read_book(name: Literal["english", "chinese"]) -> Book:
    """Read and check one language's tables. Raises msgspec.ValidationError that names the wrong key."""
    return msgspec.toml.decode((Path(__file__).parent / f"{name}.toml").read_bytes(), type=Book)
