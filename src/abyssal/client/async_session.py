"""A conversation, asynchronous: `client.create_session()`. What is remembered is `history`'s matter."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Literal, Self, Unpack, overload

from abyssal.client.async_chat import AsyncCompletions
from abyssal.client.async_stream import AsyncChatStream
from abyssal.client.history import History, Piece, Reply, Said, check_options, piece_of
from abyssal.client.params import ChatOptions
from abyssal.wire.chat import ChatCompletion
from abyssal.wire.conversations import Conversation
from abyssal.wire.errors import ConfigurationError, StreamInterruptedError


class AsyncSession:
    """One conversation with one model. Calls at once are put in order, whichever task they come from."""

    def __init__(
        self,
        completions: AsyncCompletions,
        model: str,
        history: History,
        options: ChatOptions,
        *,
        conversation_id: str | None = None,
        begin: Callable[[], Awaitable[Conversation]] | None = None,
    ) -> None:
        check_options(options)
        self._completions = completions
        self._model = model
        self._history = history
        self._options = options
        self._conversation_id = conversation_id
        self._begin = begin  # a conversation that the service keeps; None if the client keeps it
        self._lock = asyncio.Lock()
        # The task that has a stream open; weakly, as a task keeps its result, and that may be the stream.
        self._streaming_in: weakref.ref[asyncio.Task[object]] | None = None

    @property
    def conversation_id(self) -> str | None:
        """Where the service keeps the turns, once there is one: its name for the conversation."""
        return self._conversation_id

    @property
    def messages(self) -> list[dict[str, object]]:
        """What is remembered, the system prompt first, as messages of a request. A copy."""
        return self._history.messages()

    @overload
    async def send_message(
        self, text: Said, *, stream: Literal[True], **options: Unpack[ChatOptions]
    ) -> AsyncSessionStream: ...
    @overload
    async def send_message(
        self, text: Said, *, stream: Literal[False] | None = None, **options: Unpack[ChatOptions]
    ) -> Reply: ...
    @overload
    async def send_message(
        self, text: Said, *, stream: bool | None = None, **options: Unpack[ChatOptions]
    ) -> Reply | AsyncSessionStream: ...

    async def send_message(
        self, text: Said, *, stream: bool | None = None, **options: Unpack[ChatOptions]
    ) -> Reply | AsyncSessionStream:
        """The model's reply to `text` and all that is remembered; with `stream=True` its pieces as they come.

        `options` take the place of the session's for this message. The turn is remembered when the reply is
        whole; a call that fails, or a stream that is not read to its end, leaves the session as it was.
        Raises as `chat.completions.create` does, and ConfigurationError while a stream of the session is
        open in the same thread or task.
        """
        check_options(options)
        if self._streaming_in is not None and self._streaming_in() is asyncio.current_task():
            raise ConfigurationError(
                "The reply to this session's last message is still being streamed; read it to its end or "
                "close it first."
            )
        asked: ChatOptions = {**self._options, **options}
        return await self._open(text, asked) if stream else await self._ask(text, asked)

    def reset(self) -> None:
        """Forgets all turns; the system prompt stays. A reply that is still to come is not remembered.

        Where the service keeps them, the next message begins another conversation.
        """
        self._history.reset()
        self._conversation_id = None

    def fork(self) -> AsyncSession:
        """Another session that remembers the same and goes its own way.

        Raises ConfigurationError where the service keeps the turns: it keeps them once.
        """
        if self._begin is not None:
            raise ConfigurationError(
                "A conversation that the service keeps cannot be forked; begin another with its messages: "
                "client.conversations.create(messages=...)."
            )
        return AsyncSession(self._completions, self._model, self._history.fork(), self._options)

    async def _ask(self, text: Said, options: ChatOptions) -> Reply:
        async with self._lock:
            draft = self._history.draft(text)
            options = await self._in_conversation(options)
            completion = await self._completions.create(model=self._model, messages=draft.messages, **options)
            return self._history.remember(draft, completion)

    async def _open(self, text: Said, options: ChatOptions) -> AsyncSessionStream:
        await self._lock.acquire()  # until the stream ends: then it calls `_unlock`
        try:
            draft = self._history.draft(text)
            messages = draft.messages
            options = await self._in_conversation(options)
            chunks = await self._completions.create(
                model=self._model, messages=messages, stream=True, **options
            )
        except BaseException:
            self._lock.release()
            raise
        task = asyncio.current_task()
        self._streaming_in = None if task is None else weakref.ref(task)
        return AsyncSessionStream(chunks, partial(self._history.remember, draft), self._unlock)

    async def _in_conversation(self, options: ChatOptions) -> ChatOptions:
        """`options` of a call in the conversation, which is begun if it was not."""
        if self._begin is None:
            return options
        if self._conversation_id is None:
            self._conversation_id = (await self._begin()).id
        return {**options, "conversation_id": self._conversation_id}

    def _unlock(self) -> None:
        self._streaming_in = None
        self._lock.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self._model!r}, turns={self._history.turns})"


class AsyncSessionStream:
    """The pieces of one reply, as they come, once. A context manager that closes the connection.

    Iterating raises as a ChatStream's does. The turn is remembered when the last piece has been read.
    """

    def __init__(
        self, chunks: AsyncChatStream, remember: Callable[[ChatCompletion], Reply], unlock: Callable[[], None]
    ) -> None:
        self._chunks = chunks
        self._remember = remember
        self._unlock: Callable[[], None] | None = unlock
        self._reply: Reply | None = None
        self._loop = asyncio.get_running_loop()

    async def reply(self) -> Reply:
        """Reads what is left; the whole reply, as a plain call would have given it.

        Raises as iterating does, and StreamInterruptedError when the stream was closed before its end.
        """
        async for _ in self:
            pass
        if self._reply is None:
            raise StreamInterruptedError(
                "The stream was closed or cut before its end, and the turn is not remembered; send it again."
            )
        return self._reply

    async def aclose(self) -> None:
        """Cuts the connection, unless the reply came to its end. Any number of times."""
        await self._chunks.aclose()
        self._end()

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        if self._unlock is None:  # also after `close`, whatever had come by then
            raise StopAsyncIteration
        try:
            async for chunk in self._chunks:
                piece = piece_of(chunk)
                if piece is not None:
                    return piece
            self._reply = self._remember(await self._chunks.get_final_completion())
        except BaseException:
            self._end()
            raise
        self._end()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A stream that was dropped must not hold up the session. This may be another thread.
        if self._unlock is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._unlock)

    def _end(self) -> None:
        unlock, self._unlock = self._unlock, None
        if unlock is not None:
            unlock()
