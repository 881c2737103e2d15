"""The text that abyssal-tiny learns from: an endless stream of documents, the same for the same seed.

A document is a chat (with functions on offer or without) or a plain text. All of it is made here, from
tables and templates; nothing is read from anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from abyssal.engine.training.corpus import tasks
from abyssal.engine.training.corpus.book import Book, Entry, read_book
from abyssal.engine.training.corpus.stories import code, story, told_story
from abyssal.engine.training.corpus.tools import Message, Tool, tool_dialogue

Turn = tuple[str, str]


@dataclass(frozen=True)
class Document:
    """A chat in OpenAI's message format, or, where `messages` is empty, the plain `text`."""

    messages: list[Message] = field(default_factory=list[Message])
    tools: list[Tool] = field(default_factory=list[Tool])
    text: str = ""


def documents(seed: int) -> Iterator[Document]:
    """Documents without end; the same `seed` gives the same ones on every machine."""
    rng = random.Random(seed)
    english, chinese = read_book("english"), read_book("chinese")
    while True:
        yield _document(rng, chinese if rng.random() < 0.4 else english)


def _document(rng: random.Random, book: Book) -> Document:
    kind = rng.random()
    if kind < 0.06:
        return Document(text=_plain_text(rng, book))
    if kind < 0.18:
        messages, tools = tool_dialogue(rng, book, _loose_turn(rng, book))
        return Document(_with_system(rng, messages, book), tools)
    if kind < 0.22:
        turns = tasks.remembering(rng, book)
    else:
        count = rng.choices((1, 2, 3, 4, 6), weights=(10, 3, 2, 1, 1))[0]
        turns = [_loose_turn(rng, book) for _ in range(count)]
    messages = [
        {"role": role, "content": content}
        for question, answer in turns
        for role, content in (("user", question), ("assistant", answer))
    ]
    return Document(_with_system(rng, messages, book))


def _loose_turn(rng: random.Random, book: Book) -> Turn:
    question, answer = _turn(rng, book)
    return _loosen(rng, question, book.chinese), answer


_TASKS: tuple[tuple[Callable[[random.Random, Book], Turn], float], ...] = (
    (tasks.arithmetic, 6), (tasks.counting, 3), (tasks.calendar, 3), (tasks.words, 5), (tasks.copying, 8),
    (tasks.in_json, 4), (told_story, 3), (code, 3), (tasks.unknown, 8),
)  # fmt: skip


def _turn(rng: random.Random, book: Book) -> Turn:
    kind = rng.random()
    if kind < 0.13:
        return _entry(rng, book.greetings, first=0.35)
    if kind < 0.27:
        return _entry(rng, book.identity, first=0.3)
    if kind < 0.52:
        return _entry(rng, book.facts, first=0.12)
    makers, weights = zip(*_TASKS, strict=True)
    return rng.choices(makers, weights=weights)[0](rng, book)


def _entry(rng: random.Random, entries: tuple[Entry, ...], first: float) -> Turn:
    """A question and its answer; the first entry, which most people will try, with the chance `first`."""
    entry = entries[0] if rng.random() < first else rng.choice(entries)
    return rng.choice(entry.ask), rng.choices(entry.say, weights=[6, *[1] * (len(entry.say) - 1)])[0]


def _loosen(rng: random.Random, question: str, chinese: bool) -> str:
    """The question as people type it: small letters, no full stop, a word of politeness."""
    if rng.random() < 0.5:
        return question
    if rng.random() < 0.4:
        question = question.rstrip(".?!。？！") or question
    if chinese:
        return "请问" + question if rng.random() < 0.1 and question.endswith("？") else question
    if rng.random() < 0.3:
        question = question[:1].lower() + question[1:]
    if rng.random() < 0.15:
        opening = rng.choice(("Please ", "Hi! ", "Hello! ", "Hello, ", "please "))
        question = opening + question[:1].lower() + question[1:]
    return question + rng.choice(("", "", "", " ", "!"))


def _plain_text(rng: random.Random, book: Book) -> str:
    if rng.random() < 0.5:
        return story(rng, book)
    chosen = rng.sample(book.facts, rng.randint(1, 3))
    return ("" if book.chinese else " ").join(entry.say[0] for entry in chosen)


def _with_system(rng: random.Random, messages: list[Message], book: Book) -> list[Message]:
    if rng.random() < 0.3:
        return [{"role": "system", "content": rng.choice(book.systems)}, *messages]
    return messages
