"""One TCP connection in an event loop: the bytes of one exchange after another, and its time limits.

The connection is idle, in an exchange, or lost, and then stays lost. Whatever ends an exchange (its last
byte, a fault, a time limit) wakes the one who waits; nothing else does, but for content of a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from abyssal.client.http1 import AnswerReader, request_bytes
from abyssal.client.request import Request
from abyssal.wire.errors import AbyssalError, ApiConnectionError, ApiTimeoutError

_HIGH_WATER = 262144  # bytes of a stream that nobody has read yet: then the other side is made to wait


class Connection(asyncio.Protocol):
    """One connection; belongs to one call at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str) -> None:
        self._loop = loop
        self._where = where
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._content: list[bytes] = []
        self._unread = 0  # bytes in `_content`
        self._paused = False
        self._streamed = False
        self._waiter: asyncio.Future[None] | None = None
        self._failure: AbyssalError | None = None
        self._read_limit: float | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._moved_at = 0.0  # when bytes last moved, or someone began to wait for them
        self._on_drained: Callable[[Connection], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._failure is None

    def is_usable(self, longest_idle: float) -> bool:
        """Whether the idle connection can carry another exchange."""
        return self.is_open and self._loop.time() - self._moved_at <= longest_idle

    async def exchange(self, request: Request, reader: AnswerReader, deadline: float | None) -> bytes:
        """Sends `request`; the whole content of the answer. `deadline` is in the loop's time, in seconds."""
        self._begin(request, reader, deadline, streamed=False)
        while not reader.complete:
            await self._wait()
        content = self._content
        return content[0] if len(content) == 1 else b"".join(content)

    async def begin(self, request: Request, reader: AnswerReader) -> None:
        """Sends `request` and waits for the headers of the answer; `read` gives its content."""
        self._begin(request, reader, None, streamed=True)
        while not reader.status:
            await self._wait()

    async def read(self) -> bytes:
        """What has come of the content since the last read, b"" at its end."""
        reader = self._reader
        while not self._content:
            if reader is None or reader.complete:
                return b""
            await self._wait()
        content = self._content
        data = content[0] if len(content) == 1 else b"".join(content)
        content.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def drain(self, limit: float, on_drained: Callable[[Connection], None]) -> None:
        """Waits in the background for the end of the content, at most `limit` seconds."""
        if self._reader is None or self._reader.complete or not self.is_open:
            on_drained(self)
            return
        self._on_drained = on_drained
        self._stop_timer()
        self._timer = self._loop.call_later(limit, self._drained)

    def finish(self) -> bool:
        """Ends the exchange; whether the connection is idle now and can be used again."""
        reader, self._reader = self._reader, None
        self._on_drained = None
        self._stop_timer()
        self._content = []
        self._unread = 0
        self._moved_at = self._loop.time()
        return reader is not None and reader.reusable and self.is_open and not self._paused

    def abort(self) -> None:
        """Cuts the connection, at once and without a word."""
        self._stop_timer()
        self._reader = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or reader.complete:
            self.abort()  # an answer that nobody asked for: whose would the next one be?
            return
        self._moved_at = self._loop.time()
        try:
            content = reader.feed(data)
        except AbyssalError as error:
            self._fail(error)
            return
        if self._on_drained is not None:
            if reader.complete:
                self._drained()
            return
        if content:
            self._content.append(content)
        if self._streamed:
            self._unread += len(content)
            if self._unread > _HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            if reader.status:
                self._wake()
        elif reader.complete:
            self._wake()

    def eof_received(self) -> None:
        if self._reader is not None and not self._reader.complete:
            try:
                self._reader.feed_end()
            except AbyssalError as error:
                self._fail(error)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._reader is not None and not self._reader.complete:
            reason = f": {exc}" if exc else ""
            self._fail(ApiConnectionError(f"The connection to {self._where} broke{reason}."))
        if self._on_drained is not None:
            self._drained()

    def _begin(
        self, request: Request, reader: AnswerReader, deadline: float | None, *, streamed: bool
    ) -> None:
        self._reader = reader
        self._streamed = streamed
        self._read_limit = request.timeout.read
        self._deadline = deadline
        self._moved_at = self._loop.time()
        self._set_timer()
        if self._transport is not None:
            self._transport.write(request_bytes(request))
        else:
            self._fail(ApiConnectionError(f"The connection to {self._where} broke."))

    async def _wait(self) -> None:
        """Until something has happened. Raises what went wrong."""
        if self._failure is None:
            self._moved_at = self._loop.time()
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: AbyssalError) -> None:
        if self._failure is None:
            self._failure = error
        self._wake()

    def _set_timer(self) -> None:
        """One timer an exchange, set again when it rings early: moving it with each byte would cost more."""
        due = [] if self._read_limit is None else [self._moved_at + self._read_limit]
        if self._deadline is not None:
            due.append(self._deadline)
        if due:
            self._timer = self._loop.call_at(min(due), self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if self._deadline is not None and now >= self._deadline:
            self._fail(
                ApiTimeoutError(
                    f"The answer of {self._where} was not whole when the call's total time was over."
                )
            )
        elif self._waiter is None:  # the silence is ours: nobody reads
            self._moved_at = now
            self._set_timer()
        elif self._read_limit is not None and now >= self._moved_at + self._read_limit:
            self._fail(
                ApiTimeoutError(
                    f"{self._where} sent nothing for {self._read_limit:g} s; allow more with timeout=."
                )
            )
        else:
            self._set_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drained(self) -> None:
        on_drained, self._on_drained = self._on_drained, None
        if on_drained is not None:
            on_drained(self)
