"""Streams over WebSocket, blocking: `client.stream()`. How an answer is read `sockets` knows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from abyssal.client.answer import Answer
from abyssal.client.core import Call
from abyssal.client.history import Piece, Reply
from abyssal.client.request import Request
from abyssal.client.resuming import GIVE_UP_WITHIN, Resumption, lost_for_good
from abyssal.client.sockets.params import NO_PROXY, SocketParams, resume_request, socket_request
from abyssal.client.sockets.reading import SocketReader
from abyssal.client.sync_calls import Caller
from abyssal.client.sync_websocket import WebSocket
from abyssal.client.tls import tls_context
from abyssal.wire.chat import ChatCompletion
from abyssal.wire.errors import AbyssalError, ApiConnectionError, AuthenticationError, LocalError


class Sockets:
    """A client's sockets. One that has answered is kept, and asked again. For any number of threads."""

    def __init__(self, caller: Caller, pool_size: int, *, beside_proxy: bool = False) -> None:
        self._caller = caller
        self._size = pool_size
        self._beside_proxy = beside_proxy  # HTTP goes over one, sockets cannot
        self._tls = tls_context(caller.core.base)
        self._idle: dict[bytes, deque[WebSocket]] = {}  # by what their upgrades said
        self._closed = False

    def stream(self, prompt: str | None, params: SocketParams) -> SocketStream:
        """The answer to one request, once its first message is there. Raises as `client.stream` does."""
        core = self._caller.core
        route, message = socket_request(prompt, params)
        call = core.socket(route, params)

        def attempt(request: Request) -> Answer | SocketStream:
            return self._opened(call, request, message)

        opened = self._caller.attempt(call, attempt)
        if isinstance(opened, Answer):
            raise call.error_of_stream(opened)
        return opened

    def close(self) -> None:
        """Closes the sockets that are kept. Any number of times."""
        self._closed = True
        for idle in list(self._idle.values()):
            while (socket := _pop(idle)) is not None:
                socket.close()

    def __del__(self) -> None:
        self.close()

    def release(self, call: Call, socket: WebSocket) -> None:
        """The answer that `socket` gave is complete; it is kept if it can be."""
        idle = self._idle.setdefault(call.endpoint.head, deque())
        if self._closed or not socket.begin_idling() or len(idle) >= self._size:
            socket.close()
        else:
            idle.append(socket)

    def resume(self, call: Call, last_id: str) -> WebSocket:
        """A socket on which what came after `last_id` was asked for. Raises AbyssalError."""
        again = self._caller.core.again(call)

        def attempt(request: Request) -> Answer | WebSocket:
            socket = self._socket(call, request)
            if isinstance(socket, WebSocket):
                socket.ask(resume_request(last_id), request.timeout.read)
            return socket

        socket = self._caller.attempt(again, attempt)
        if isinstance(socket, Answer):
            raise again.error_of_stream(socket)
        return socket

    def _opened(self, call: Call, request: Request, message: bytes) -> Answer | SocketStream:
        socket = self._socket(call, request)
        if isinstance(socket, Answer):
            return socket
        reader = SocketReader(self._caller.core.secret)
        stream = SocketStream(self, self._caller, call, socket, reader)
        try:
            stream.begin(message)
        except AuthenticationError:
            idle = self._idle.pop(call.endpoint.head, deque[WebSocket]())
            while (kept := _pop(idle)) is not None:
                kept.close()  # what those were opened with has ended, too
            raise
        return stream

    def _socket(self, call: Call, request: Request) -> Answer | WebSocket:
        """One that was kept, or a new one."""
        try:
            return self._kept(call) or WebSocket.connect(request, self._tls)
        except ApiConnectionError as error:
            if self._beside_proxy:
                error.add_note(NO_PROXY)
            raise

    def _kept(self, call: Call) -> WebSocket | None:
        idle = self._idle.get(call.endpoint.head)
        while idle and (socket := _pop(idle)) is not None:
            if socket.is_usable():
                return socket
            socket.close()
        return None


class SocketStream:
    """The pieces of one answer, as they come, once. A context manager; closing it early cancels the answer.

    Iterating raises the ApiError that the service told of, ApiTimeoutError when nothing came for too long,
    StreamInterruptedError when the socket was cut, ProtocolError when what answers speaks another language.
    """

    def __init__(
        self, sockets: Sockets, caller: Caller, call: Call, socket: WebSocket, reader: SocketReader
    ) -> None:
        self._sockets = sockets
        self._caller = caller
        self._call = call
        self._socket: WebSocket | None = socket
        self._reader = reader
        self._timeout = call.timeout.read
        self._resumption = caller.core.resumption(call)
        self._ready: deque[Piece] = deque()

    @property
    def request_id(self) -> str | None:
        """What the service calls this request, once it has told: with the end, or with an error."""
        return self._reader.request_id

    def completion_so_far(self) -> ChatCompletion:
        """The pieces that have come, put together; what has not come is missing."""
        return self._reader.completion()

    def reply(self) -> Reply:
        """Reads what is left; the whole reply: `.content`, `.reasoning`, `.usage`, `.response`.

        Raises as iterating does, and StreamInterruptedError when the stream was closed before its end.
        """
        for _ in self:
            pass
        return self._reader.reply()

    def close(self) -> None:
        """Closes the socket, unless the answer came to its end; the service then stops. Any times."""
        socket, self._socket = self._socket, None
        if socket is not None:
            if self._resumption is not None and not self._reader.ended:
                socket.cancel(GIVE_UP_WITHIN)
            socket.close()

    def begin(self, message: bytes) -> None:
        """Asks, and waits for the first message. Raises what came instead."""
        try:
            if self._socket is not None:
                self._socket.ask(message, self._timeout)
        except LocalError as error:
            self._reader.feed_fault(error)
        except BaseException:
            self.close()
            raise
        while not self._reader.begun and not self._reader.ended:
            self._read_on()
        if self._reader.failure is not None and not self._ready:
            self.close()
            raise self._reader.failure

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._ready:
            if self._reader.ended or self._socket is None:
                if self._reader.failure is not None:
                    raise self._reader.failure
                raise StopIteration
            self._read_on()
        return self._ready.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # a stream that was dropped is one that nobody wants

    def _read_on(self) -> None:
        """One more message."""
        reader, socket = self._reader, self._socket
        if socket is None:
            return
        try:
            piece = reader.feed(socket.receive(self._timeout))
        except LocalError as error:
            piece = None
            reader.feed_fault(error)
        except BaseException:
            reader.feed_stop()
            self.close()
            raise
        if piece is not None:
            self._ready.append(piece)
        if reader.ended:
            self._finished()
            if reader.cut and self._resumption is not None:
                self._resume(self._resumption)

    def _resume(self, resumption: Resumption) -> None:
        """Asks for the rest of an answer that was cut, by the rules of `resuming`."""
        reader, core = self._reader, self._caller.core
        cut = reader.failure
        wait = resumption.seconds_until_next(reader.last_id, core.clock.monotonic(), core.dice)
        if cut is None or wait is None:
            return
        try:
            if wait:
                self._caller.sleep(wait)
            self._socket = self._sockets.resume(self._call, reader.last_id)
        except AbyssalError as error:
            reader.failure = lost_for_good(cut, error)
        else:
            reader.go_on()

    def _finished(self) -> None:
        if self._reader.failure is not None:
            self.close()
            return
        socket, self._socket = self._socket, None
        if socket is not None:
            self._sockets.release(self._call, socket)


def _pop(idle: deque[WebSocket]) -> WebSocket | None:
    try:
        return idle.pop()
    except IndexError:  # asking first would not do: another thread may be quicker
        return None
