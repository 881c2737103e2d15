"""Names of people and places: known ones, and ones made up, which can only be read from the text."""

from __future__ import annotations

import random

from abyssal.engine.training.corpus.book import Book

# Parts of made-up names.
_STARTS = [
    "Ka",
    "Mi",
    "Lo",
    "Te",
    "Ra",
    "Be",
    "Du",
    "Sha",
    "Vi",
    "No",
    "Fe",
    "Gri",
    "Zu",
    "Pa",
    "Hel",
    "Cor",
    "Bra",
    "Ti",
]
_MIDDLES = [
    "ra",
    "li",
    "no",
    "to",
    "ve",
    "sa",
    "du",
    "mi",
    "ren",
    "gal",
    "bo",
    "ki",
    "pe",
    "lan",
    "fu",
    "che",
]
_ENDS = ["na", "ton", "s", "n", "ko", "ville", "rd", "x", "la", "berg", "m", "ria", "t", "po", "dam", "r"]


def person(rng: random.Random, book: Book) -> str:
    """A name for a person."""
    return _made_up(rng, book) if rng.random() < 0.4 else rng.choice(book.names)


def place(rng: random.Random, book: Book) -> str:
    """A name for a city."""
    return _made_up(rng, book) if rng.random() < 0.4 else rng.choice(book.cities)


def _made_up(rng: random.Random, book: Book) -> str:
    if book.chinese:
        return "".join(rng.choices("".join((*book.names, *book.cities, *book.copied)), k=2))
    middle = rng.choice(_MIDDLES) if rng.random() < 0.6 else ""
    return rng.choice(_STARTS) + middle + rng.choice(_ENDS)
