"""All resumable streams of a worker: found by id, held within bounds, let go when nobody comes back.

1. Whoever asks for a stream must be of the project that began it, and ask on the same route. Anything else,
   like an id that was never given or an event that is not kept any more, is one and the same error.
2. `PATIENCE` seconds after its last reader left, or its end if that came later, a stream is gone; if its call
   is still at work, that is cancelled.
3. Past `total` bytes, streams that are complete and have no reader go first, the oldest before the others.
   Then those with a reader keep less for the case that it is cut off, and the upstreams of those without are
   paused.
4. When the worker goes away nobody can come back to it: streams without a reader end at once.
"""

from __future__ import annotations

from collections.abc import Callable

from abyssal.gateway.exchange import Exchange
from abyssal.gateway.resuming.event_id import EventId, stem
from abyssal.gateway.resuming.form import Form
from abyssal.gateway.resuming.stream import Connection, ResumableStream
from abyssal.wire.errors import NotFoundError

PATIENCE = 60.0  # seconds
STREAM_COST = 4096  # bytes that a stream takes beside its events


class ResumableStreams:
    """See the module. `bound` is bytes of each stream, `total` of all; `token` makes 22 random characters."""

    def __init__(
        self,
        *,
        worker: int,
        bound: int,
        total: int,
        now: Callable[[], float],
        token: Callable[[], bytes],
    ) -> None:
        self.bound, self.draining = bound, False
        self._worker, self._total = worker, total
        self.now, self._token = now, token
        self.held = 0  # bytes, by estimate
        self._streams: dict[bytes, ResumableStream] = {}  # by stem
        self._left: dict[ResumableStream, None] = {}  # without a reader
        self._complete: dict[
            ResumableStream, None
        ] = {}  # of these, those whose end is known, the oldest first

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, form: Form, route: bytes, lines: bytes = b"") -> ResumableStream:
        """A stream that can be resumed once it has begun; `lines` go into the heads of its answers."""
        return ResumableStream(self, form, stem=stem(self._worker, self._token()), route=route, lines=lines)

    def attach(self, outer: Exchange, client: Connection, place: EventId, project: str, route: bytes) -> None:
        """Let `outer`, which came on `client`, read on after `place`. Raises NotFoundError."""
        stream = self._find(place, project, route)
        if stream is None or not stream.attach(outer, client, place.number):
            raise no_such_stream()

    def end(self, place: EventId, project: str, route: bytes) -> None:
        """End a stream for good, whoever reads it. What is not there, or not theirs, is ended already."""
        stream = self._find(place, project, route)
        if stream is not None:
            stream.stop()

    def sweep(self, now: float) -> None:
        """Let go of what nobody came back to; loop time in seconds, once a second."""
        for stream in tuple(self._left):
            if now - stream.left_at >= PATIENCE:
                stream.end()
            else:
                stream.tick(None, now)
                stream.steer()

    def drain(self) -> None:
        """The worker goes away."""
        self.draining = True
        for stream in tuple(self._left):
            stream.end()

    def _find(self, place: EventId, project: str, route: bytes) -> ResumableStream | None:
        stream = self._streams.get(stem(place.worker, place.token))
        theirs = stream is not None and stream.project == project and stream.route == route
        return stream if theirs else None

    # --- the streams' side ----------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self.held >= self._total

    def began(self, stream: ResumableStream) -> None:
        self._streams[stream.stem] = stream
        self.grew(STREAM_COST)

    def left(self, stream: ResumableStream) -> None:
        self._left[stream] = None
        if not stream.live:
            self._complete[stream] = None

    def came(self, stream: ResumableStream) -> None:
        self._left.pop(stream, None)
        self._complete.pop(stream, None)

    def forget(self, stream: ResumableStream) -> None:
        self.came(stream)
        if self._streams.pop(stream.stem, None) is not None:
            self.held -= STREAM_COST + stream.size

    def grew(self, by: int) -> bool:
        self.held += by
        while self.held > self._total and self._complete:
            self.forget(next(iter(self._complete)))
        return self.held <= self._total


def no_such_stream() -> NotFoundError:
    """What everybody is told who asks for what is not there, or not theirs."""
    return NotFoundError(
        "There is no such stream to resume: the id is unknown, nobody read the stream for a minute, or more "
        "came since than is kept. Send the request again.",
        code="stream_not_found",
    )
