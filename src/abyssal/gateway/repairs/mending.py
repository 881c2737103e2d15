"""What is repaired of one call's answer: menders behind one another, and reviews that must all accept it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from abyssal.gateway.exchange import Exchange, Review, StreamFilter
from abyssal.wire.errors import ApiError


class Mender(StreamFilter, Protocol):
    """Repairs one answer, whole or streamed."""

    def answer(self, body: bytes) -> bytes: ...


MakeMender = Callable[[Exchange], Mender]


class Mending:
    """What is repaired of a call's answer.

    Each of `menders` makes what repairs one, the first first; each of `reviews` what judges it after that.
    """

    def __init__(self, menders: Sequence[MakeMender], reviews: Sequence[Callable[[], Review]]) -> None:
        self._menders, self._reviews = menders, reviews
        self.reviewed = bool(reviews)

    def review(self) -> Review:
        """What judges one attempt."""
        reviews = [review() for review in self._reviews]
        return reviews[0] if len(reviews) == 1 else _Reviews(reviews)

    def answer(self, exchange: Exchange, body: bytes) -> bytes:
        """A whole answer to `exchange`, repaired."""
        for mender in self._menders:
            body = mender(exchange).answer(body)
        return body

    def stream_filter(self, exchange: Exchange, first: StreamFilter | None) -> StreamFilter | None:
        """What repairs a stream; `first` is what makes the upstream's official."""
        filters: list[StreamFilter] = [mender(exchange) for mender in self._menders]
        if first is not None:
            filters.insert(0, first)
        return filters[0] if len(filters) == 1 else _Chain(filters) if filters else None


class _Chain:
    """Filters, one behind the other."""

    __slots__ = ("_filters",)

    def __init__(self, filters: Sequence[StreamFilter]) -> None:
        self._filters = filters

    def feed(self, events: bytes) -> bytes:
        for one in self._filters:
            if events:
                events = one.feed(events)
        return events

    def end(self) -> bytes:
        rest = b""
        for one in self._filters:
            rest = (one.feed(rest) if rest else b"") + one.end()
        return rest


class _Reviews:
    """Several judges: all must accept. Where one does not, it speaks for all."""

    def __init__(self, reviews: Sequence[Review]) -> None:
        self._reviews = reviews
        self._speaker = reviews[0]

    @property
    def name(self) -> str:
        return self._speaker.name

    @property
    def hopeless(self) -> bool:
        return self._speaker.hopeless

    def accepts(self, body: bytes) -> bool:
        return self._all(lambda review: review.accepts(body))

    def seen_enough(self, events: bytes) -> bool:
        return all([review.seen_enough(events) for review in self._reviews])  # each must see all of it

    def accepts_end(self) -> bool:
        return self._all(lambda review: review.accepts_end())

    def refusal(self) -> ApiError | None:
        return self._speaker.refusal()

    def _all(self, accepts: Callable[[Review], bool]) -> bool:
        for review in self._reviews:
            if not accepts(review):
                self._speaker = review
                return False
        return True
