"""A call whose answer is judged before the client gets any of it, and asked for once more if it will not do.

It stands between the client and attempts (`RelayCall`, each with an exchange of its own): a call to the one,
a client to the others.

1. A whole answer, and as much of a stream as its review wants to see, is held back; comments keep the
   client's line open meanwhile.
2. One that will not do is asked for once more, within the upstream's retry budget. If that fails, the first
   one stands, unless its review says what the client is told instead.
3. The call is settled once, before the client can know the end, with the tokens of all attempts: the
   upstream charges for each.
4. A review does not see what is larger than `MOST_HELD`: it passes, or is refused where the review refuses.
"""

from __future__ import annotations

from math import inf

from abyssal.gateway.exchange import Client, Exchange, RequestHead, Review
from abyssal.gateway.relay import heads
from abyssal.gateway.relay.call import KEEP_ALIVE, RelayCall, RelayContext
from abyssal.gateway.upstreams.upstream import Upstream
from abyssal.wire.errors import ApiError, UpstreamBrokenError
from abyssal.wire.usage import TokenUsage, sum_of

MOST_HELD = 4 * 1024 * 1024


class ReviewedCall:
    """See the module. Times are loop time, in seconds."""

    def __init__(self, exchange: Exchange, upstream: Upstream, context: RelayContext) -> None:
        self._exchange, self._upstream, self._context = exchange, upstream, context
        self._client: Client = exchange.client
        self._attempts = RelayContext(
            settle=self._attempt_settled, spawn=context.spawn, now=context.now, comment_every=inf
        )
        assert exchange.request is not None
        self._streams = bool(exchange.request.stream)
        self._review: Review
        self._attempt: Exchange
        self._spent: list[TokenUsage | None] = []
        self._kept: tuple[bytes, bytes, bool] | None = None  # a first answer that stands if the second fails
        self._retried = self._begun = self._passing = self._dropping = self._paused = False
        self._attempt_over = self._settled = False
        self._status, self._lines, self._is_stream = 0, b"", False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._written_at = exchange.started_at

    def start(self) -> None:
        """Make the first attempt."""
        self._upstream.retries.call()
        self._exchange.call = self
        self._try()

    def _try(self) -> None:
        mending = self._exchange.mending
        assert mending is not None
        self._review = mending.review()
        self._held, self._held_bytes = [], 0
        self._attempt_over = False
        self._attempt = self._exchange.attempt(self)
        self._attempt.started_at = self._written_at = self._context.now()
        RelayCall(self._attempt, self._upstream, self._attempts).start()
        if self._paused:
            self.pause()

    # --- the client's side ----------------------------------------------------------------------------

    def cancel(self) -> None:
        """The client left."""
        if self._attempt.call is not None:
            self._attempt.call.cancel()
        self._settle(499, "client_gone")
        self._exchange.call = None

    def pause(self) -> None:
        """Stop reading from the upstream."""
        self._paused = True
        if self._attempt.call is not None:
            self._attempt.call.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._attempt.call is not None:
            self._attempt.call.resume()

    def tick(self, now: float) -> None:
        """Time-outs of the attempt, and a comment for a client that would otherwise hear nothing."""
        if self._attempt.call is not None:
            self._attempt.call.tick(now)
        if (
            self._streams
            and not self._settled
            and not self._paused
            and now - self._written_at >= self._context.comment_every
        ):
            self._begin(heads.stream_lines([]) + heads.repairs_line(self._exchange.repairs))
            self._send(KEEP_ALIVE)

    # --- the attempt's side (exchange.Client) ---------------------------------------------------------

    @property
    def scheme(self) -> bytes:
        return self._client.scheme

    def address_of(self, head: RequestHead) -> str:
        """Who asks."""
        return self._client.address_of(head)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer."""
        if self._settled or self._dropping:
            return
        if status != 200:
            if self._kept is not None:
                self._stand(*self._kept, status=200)
            else:
                self._deliver(status, headers, body, code=self._attempt.code)
        elif self._review.accepts(body):
            self._deliver(status, headers, body, code="")
        else:
            self._rejected(headers, body, is_stream=False)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """The head of a stream, or of an answer too large to come whole."""
        self._status, self._lines = status, headers
        self._is_stream = b"text/event-stream" in headers

    def send(self, data: bytes) -> None:
        """A piece of the body."""
        if self._passing:
            self._send(data)
            return
        if self._settled or self._dropping:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._is_stream and self._review.seen_enough(data):
            self._release()
        elif self._held_bytes > MOST_HELD:
            refusal = self._review.refusal()
            if refusal is None:
                self._release()
            else:
                self._dropping = True
                self._context.spawn(self._drop(refusal))  # not now: the attempt is in the middle of a read

    async def _drop(self, refusal: ApiError) -> None:
        if self._attempt.call is not None:
            self._attempt.call.cancel()
        if not self._settled:
            self._fail(refusal)

    def finish(self) -> None:
        """The body is complete."""
        if self._passing:
            self._exchange.call = None
            self._client.finish()
        elif self._settled or self._dropping:
            return
        elif not self._is_stream:
            self.answer(self._status, self._lines, b"".join(self._held))
        elif self._attempt.status != 200 and self._kept is not None:
            self._stand(*self._kept, status=200)
        elif self._attempt.status != 200 or self._review.accepts_end():
            self._stand(self._lines, b"".join(self._held), True, status=self._attempt.status)
        else:
            self._rejected(self._lines, b"".join(self._held), is_stream=True)

    def abort(self) -> None:
        """A body cannot be completed."""
        if self._passing:
            self._exchange.call = None
            self._client.abort()
        elif not self._settled:
            message = f'The upstream "{self._upstream.name}" broke its answer off; try again.'
            self._fail(UpstreamBrokenError(message, code=self._attempt.code))

    def _attempt_settled(self, attempt: Exchange) -> None:
        self._attempt_over = True
        if (
            attempt.usage is not None or attempt.relayed_events or attempt.status == 200
        ):  # else it cost nothing
            self._spent.append(attempt.usage)
        self._exchange.first_byte_at = attempt.first_byte_at
        self._exchange.relayed_events += attempt.relayed_events
        if self._passing:
            self._settle(attempt.status, attempt.code)

    # --- ways on --------------------------------------------------------------------------------------

    def _again(self) -> bool:
        """Make a second attempt, if there may be one."""
        if self._retried or self._review.hopeless or not self._upstream.retries.take():
            return False
        self._retried = True
        if self._review.name not in self._exchange.repairs:
            self._exchange.repairs += (self._review.name,)
        if self._begun:  # the head is out
            self._send(b": x-abyssal-repairs: %b\n\n" % self._review.name.encode())
        self._try()
        return True

    def _rejected(self, headers: bytes, body: bytes, *, is_stream: bool) -> None:
        """The answer will not do: ask again, or say so, or let it stand."""
        refusal = self._review.refusal()
        if refusal is None:
            self._kept = (headers, body, is_stream)
        if self._again():
            return
        if refusal is None:
            self._stand(headers, body, is_stream, status=200)
        else:
            self._fail(refusal)

    def _stand(self, headers: bytes, body: bytes, is_stream: bool, *, status: int) -> None:
        """An answer that came whole, or a stream that was held back to its end, is the client's."""
        if not is_stream:
            self._deliver(200, headers, body, code="")
            return
        self._settle(status, "" if status == 200 else self._attempt.code)
        self._exchange.call = None
        self._begin(headers)
        self._client.send(body)
        self._client.finish()

    def _fail(self, error: ApiError) -> None:
        lines = heads.error_lines(error) + heads.repairs_line(self._exchange.repairs)
        self._deliver(error.status_code, lines, error.as_json(), code=str(error.code))

    def _deliver(self, status: int, headers: bytes, body: bytes, *, code: str) -> None:
        self._settle(status, code)
        self._exchange.call = None
        if self._begun:  # a comment has begun the stream: the answer follows as an event
            self._client.send(b"data: %b\n\n" % b" ".join(body.splitlines()))
            self._client.finish()
        else:
            self._client.answer(status, headers, body)

    def _release(self) -> None:
        """Let go of what was held back; the rest passes as it comes."""
        self._passing = True
        if self._attempt_over:
            self._settle(self._attempt.status, self._attempt.code)
        self._begin(self._lines)
        held, self._held = b"".join(self._held), []
        self._send(held)

    def _begin(self, lines: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._client.begin(200, lines, None)

    def _send(self, data: bytes) -> None:
        self._written_at = self._context.now()
        self._client.send(data)

    def _settle(self, status: int, code: str) -> None:
        if not self._settled:
            self._settled = True
            exchange = self._exchange
            exchange.status, exchange.code = status, code
            exchange.usage = sum_of(self._spent)
            self._context.settle(exchange)
