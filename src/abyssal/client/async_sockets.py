"""Streams over WebSocket, asynchronous: `client.stream()`. How an answer is read `sockets` knows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self
from weakref import WeakSet

from abyssal.client.answer import Answer
from abyssal.client.async_calls import AsyncCaller
from abyssal.client.async_websocket import AsyncWebSocket
from abyssal.client.core import Call
from abyssal.client.history import Piece, Reply
from abyssal.client.request import Request
from abyssal.client.resuming import GIVE_UP_WITHIN, Resumption, lost_for_good
from abyssal.client.sockets.params import NO_PROXY, SocketParams, resume_request, socket_request
from abyssal.client.sockets.reading import SocketReader
from abyssal.client.tls import tls_context
from abyssal.wire.chat import ChatCompletion
from abyssal.wire.errors import AbyssalError, ApiConnectionError, AuthenticationError, LocalError

_GOODBYE = 1.0  # seconds for a closed socket to go, when its client is closed


class AsyncSockets:
    """A client's sockets. One that has answered is kept, and asked again. For any number of tasks."""

    def __init__(self, caller: AsyncCaller, pool_size: int, *, beside_proxy: bool = False) -> None:
        self._caller = caller
        self._size = pool_size
        self._beside_proxy = beside_proxy  # HTTP goes over one, sockets cannot
        self._tls = tls_context(caller.core.base)
        # By their event loop, and by what their upgrades said.
        self._idle: dict[tuple[asyncio.AbstractEventLoop, bytes], deque[AsyncWebSocket]] = {}
        self._open: dict[asyncio.AbstractEventLoop, WeakSet[AsyncWebSocket]] = {}  # all that are not gone
        self._closed = False

    async def stream(self, prompt: str | None, params: SocketParams) -> AsyncSocketStream:
        """The answer to one request, once its first message is there. Raises as `client.stream` does."""
        core = self._caller.core
        route, message = socket_request(prompt, params)
        call = core.socket(route, params)

        async def attempt(request: Request) -> Answer | AsyncSocketStream:
            return await self._opened(call, request, message)

        opened = await self._caller.attempt(call, attempt)
        if isinstance(opened, Answer):
            raise call.error_of_stream(opened)
        return opened

    async def aclose(self) -> None:
        """Closes the sockets that are kept. Any number of times."""
        self._closed = True
        here = asyncio.get_running_loop()
        for (loop, _), idle in list(self._idle.items()):
            while idle:
                socket = idle.pop()
                if loop is here:
                    socket.close()
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(socket.close)
        await asyncio.gather(*[socket.wait_closed(_GOODBYE) for socket in list(self._open.get(here, ()))])

    def release(self, call: Call, socket: AsyncWebSocket) -> None:
        """The answer that `socket` gave is complete; it is kept if it can be."""
        idle = self._idle.setdefault(self._key(call), deque())
        if self._closed or not socket.begin_idling() or len(idle) >= self._size:
            socket.close()
        else:
            idle.append(socket)

    async def resume(self, call: Call, last_id: str) -> AsyncWebSocket:
        """A socket on which what came after `last_id` was asked for. Raises AbyssalError."""
        again = self._caller.core.again(call)

        async def attempt(request: Request) -> Answer | AsyncWebSocket:
            socket = await self._socket(call, request)
            if isinstance(socket, AsyncWebSocket):
                socket.ask(resume_request(last_id))
            return socket

        socket = await self._caller.attempt(again, attempt)
        if isinstance(socket, Answer):
            raise again.error_of_stream(socket)
        return socket

    async def _opened(self, call: Call, request: Request, message: bytes) -> Answer | AsyncSocketStream:
        socket = await self._socket(call, request)
        if isinstance(socket, Answer):
            return socket
        reader = SocketReader(self._caller.core.secret)
        stream = AsyncSocketStream(self, self._caller, call, socket, reader)
        try:
            await stream.begin(message)
        except AuthenticationError:
            for kept in self._idle.pop(self._key(call), ()):
                kept.close()  # what those were opened with has ended, too
            raise
        return stream

    async def _socket(self, call: Call, request: Request) -> Answer | AsyncWebSocket:
        """One that was kept, or a new one."""
        try:
            kept = self._kept(call)
            if kept is not None:
                return kept
            socket = await AsyncWebSocket.connect(request, self._tls)
            if isinstance(socket, AsyncWebSocket):
                self._open.setdefault(asyncio.get_running_loop(), WeakSet()).add(socket)
            return socket
        except ApiConnectionError as error:
            if self._beside_proxy:
                error.add_note(NO_PROXY)
            raise

    def _kept(self, call: Call) -> AsyncWebSocket | None:
        for key in [known for known in self._idle if known[0].is_closed()]:
            del self._idle[key]
        for loop in [known for known in self._open if known.is_closed()]:
            del self._open[loop]
        idle = self._idle.get(self._key(call))
        while idle:
            socket = idle.pop()
            if socket.is_usable():
                return socket
            socket.close()
        return None

    def _key(self, call: Call) -> tuple[asyncio.AbstractEventLoop, bytes]:
        return asyncio.get_running_loop(), call.endpoint.head


class AsyncSocketStream:
    """The pieces of one answer, as they come, once. A context manager; closing it early cancels the answer.

    Iterating raises the ApiError that the service told of, ApiTimeoutError when nothing came for too long,
    StreamInterruptedError when the socket was cut, ProtocolError when what answers speaks another language.
    """

    def __init__(
        self,
        sockets: AsyncSockets,
        caller: AsyncCaller,
        call: Call,
        socket: AsyncWebSocket,
        reader: SocketReader,
    ) -> None:
        self._sockets = sockets
        self._caller = caller
        self._call = call
        self._socket: AsyncWebSocket | None = socket
        self._reader = reader
        self._timeout = call.timeout.read
        self._resumption = caller.core.resumption(call)
        self._ready: deque[Piece] = deque()
        self._loop = asyncio.get_running_loop()

    @property
    def request_id(self) -> str | None:
        """What the service calls this request, once it has told: with the end, or with an error."""
        return self._reader.request_id

    def completion_so_far(self) -> ChatCompletion:
        """The pieces that have come, put together; what has not come is missing."""
        return self._reader.completion()

    async def reply(self) -> Reply:
        """Reads what is left; the whole reply: `.content`, `.reasoning`, `.usage`, `.response`.

        Raises as iterating does, and StreamInterruptedError when the stream was closed before its end.
        """
        async for _ in self:
            pass
        return self._reader.reply()

    async def aclose(self) -> None:
        """Closes the socket, unless the answer came to its end; the service then stops. Any times."""
        socket = self._socket
        if socket is not None and self._resumption is not None and not self._reader.ended:
            await socket.cancel(GIVE_UP_WITHIN)
        self._close()

    async def begin(self, message: bytes) -> None:
        """Asks, and waits for the first message. Raises what came instead."""
        try:
            if self._socket is not None:
                self._socket.ask(message)
        except LocalError as error:
            self._reader.feed_fault(error)
        except BaseException:
            self._close()
            raise
        while not self._reader.begun and not self._reader.ended:
            await self._read_on()
        if self._reader.failure is not None and not self._ready:
            self._close()
            raise self._reader.failure

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        while not self._ready:
            if self._reader.ended or self._socket is None:
                if self._reader.failure is not None:
                    raise self._reader.failure
                raise StopAsyncIteration
            await self._read_on()
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A stream that was dropped is one that nobody wants. This may be another thread.
        if self._socket is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._socket.close)

    def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    async def _read_on(self) -> None:
        """One more message."""
        reader, socket = self._reader, self._socket
        if socket is None:
            return
        try:
            piece = reader.feed(await socket.receive(self._timeout))
        except LocalError as error:
            piece = None
            reader.feed_fault(error)
        except BaseException:
            reader.feed_stop()
            self._close()
            raise
        if piece is not None:
            self._ready.append(piece)
        if reader.ended:
            self._finished()
            if reader.cut and self._resumption is not None:
                await self._resume(self._resumption)

    async def _resume(self, resumption: Resumption) -> None:
        """Asks for the rest of an answer that was cut, by the rules of `resuming`."""
        reader, core = self._reader, self._caller.core
        cut = reader.failure
        wait = resumption.seconds_until_next(reader.last_id, core.clock.monotonic(), core.dice)
        if cut is None or wait is None:
            return
        try:
            if wait:
                await self._caller.sleep(wait)
            self._socket = await self._sockets.resume(self._call, reader.last_id)
        except AbyssalError as error:
            reader.failure = lost_for_good(cut, error)
        else:
            reader.go_on()

    def _finished(self) -> None:
        if self._reader.failure is not None:
            self._close()
            return
        socket, self._socket = self._socket, None
        if socket is not None:
            self._sockets.release(self._call, socket)
