"""The client of a call in a conversation: the answer passes through, and is kept before its end is known.

1. A whole answer is held until its turn is stored; of a stream, `[DONE]` and what follows it is.
2. What cannot be stored is an error in place of that end: an answer, or an event.
3. A turn is kept whole or not at all: after an error, a stream that breaks off, a client that leaves before
   the answer was complete, the conversation is as it was.
4. A client that leaves while the turn is being stored changes nothing of that.

It stands where the connection would (`exchange.Client`), and while it stores it is what the client waits for
(`exchange.Call`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import msgspec

from abyssal.gateway.compose.answer import StreamedAnswer, message_of_answer
from abyssal.gateway.exchange import Call, Client, Exchange, RequestHead
from abyssal.wire.errors import ApiError, InternalServerError, ProtocolError, UpstreamBrokenError

_DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)


class Keeping:
    """See the module.

    `store` begins to store the assistant's message, `release` gives the conversation back as it was; one of
    them is called, once. `prefix` is the text that the answer goes on from, `error_lines` makes headers.
    """

    def __init__(
        self,
        exchange: Exchange,
        conversation: str,
        *,
        prefix: str,
        store: Callable[[msgspec.Raw], asyncio.Future[None]],
        release: Callable[[], None],
        error_lines: Callable[[ApiError], bytes],
    ) -> None:
        self._client: Client = exchange.client
        self._exchange = exchange
        self._line = b"x-abyssal-conversation-id: %b\r\n" % conversation.encode()
        self._field = b',"conversation_id":"%b"}' % conversation.encode()
        self._prefix = prefix
        self._store, self._release, self._error_lines = store, release, error_lines
        self._stream: StreamedAnswer | None = None
        self._held: list[bytes] = []  # a whole answer that comes in pieces
        self._status, self._headers = 200, b""
        self._inner: Call | None = None  # who is at work beside the storing
        self._storing = self._ended = self._gone = self._over = False
        self._last = b""  # of a stream, from its [DONE] on

    # --- the client of the relay ----------------------------------------------------------------------

    @property
    def scheme(self) -> bytes:
        return self._client.scheme

    def address_of(self, head: RequestHead) -> str:
        return self._client.address_of(head)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer, or a refusal."""
        if status != 200:
            self._give_back()
            self._client.answer(status, headers, body)
            return
        message = message_of_answer(body, self._prefix)
        if message is None:
            self._give_back()
            error = UpstreamBrokenError(
                "The upstream's answer cannot be read, so it is no turn of the conversation; try again.",
                code="upstream_garbage",
            )
            self._client.answer(error.status_code, self._error_lines(error), error.as_json())
            return
        self._headers = headers + self._line
        self._last = body.rstrip()[:-1] + self._field
        self._begin_storing(message)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """A stream's head; a large whole answer is held."""
        if status == 200 and b"text/event-stream" in headers:
            self._stream = StreamedAnswer(self._prefix)
            self._client.begin(status, headers + self._line, length)
        else:
            self._status, self._headers = status, headers

    def send(self, data: bytes) -> None:
        """Whole events, or a piece of a whole answer."""
        stream = self._stream
        if stream is None:
            self._held.append(data)
            return
        if self._storing:
            self._last += data
            return
        done = None if self._over else _DONE.search(data)
        if done is not None:
            data, self._last = data[: done.start()], data[done.start() :]
        try:
            stream.take(data)
        except ProtocolError:  # one event too long to be one
            stream.broken = True
        if data:
            self._client.send(data)
        if done is not None:
            if stream.broken:
                self._give_back()
                self._client.send(self._last)
            else:
                self._begin_storing(stream.message())

    def finish(self) -> None:
        """The end of what `begin` announced."""
        if self._stream is None:
            self.answer(self._status, self._headers, b"".join(self._held))
        elif self._storing:
            self._ended, self._inner, self._exchange.call = True, None, self
        else:
            self._give_back()
            self._client.finish()

    def abort(self) -> None:
        self._give_back()
        self._client.abort()

    def left(self) -> None:
        """The client left before the answer was complete."""
        self._gone = True
        self._give_back()

    # --- what the client waits for, while its turn is stored --------------------------------------------

    def cancel(self) -> None:
        """The client left."""
        self._gone = True
        inner, self._inner, self._exchange.call = self._inner, None, None
        if inner is not None:
            inner.cancel()

    def pause(self) -> None:
        if self._inner is not None:
            self._inner.pause()

    def resume(self) -> None:
        if self._inner is not None:
            self._inner.resume()

    def tick(self, now: float) -> None:
        if self._inner is not None:
            self._inner.tick(now)

    def _begin_storing(self, message: msgspec.Raw) -> None:
        self._storing = self._over = True
        self._inner, self._exchange.call = self._exchange.call, self
        self._store(message).add_done_callback(self._stored)

    def _stored(self, stored: asyncio.Future[None]) -> None:
        self._storing = False
        if self._gone:
            return
        self._exchange.call, self._inner = self._inner, None
        error = _error_of(stored)
        if self._stream is None:
            if error is None:
                self._client.answer(200, self._headers, self._last)
            else:
                self._client.answer(error.status_code, self._error_lines(error), error.as_json())
            return
        self._client.send(self._last if error is None else b"data: %b\n\n" % error.as_json())
        if self._ended:
            self._client.finish()

    def _give_back(self) -> None:
        if not self._over:
            self._over = True
            self._release()


def _error_of(stored: asyncio.Future[None]) -> ApiError | None:
    fault = stored.exception()
    if fault is None or isinstance(fault, ApiError):
        return fault
    return InternalServerError(f"The platform failed ({type(fault).__name__}).")
