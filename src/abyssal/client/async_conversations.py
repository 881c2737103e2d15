"""Asynchronous `client.conversations`: what the platform keeps of them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, Unpack

from abyssal.client.async_calls import AsyncCaller
from abyssal.client.conversation_answers import (
    parse_conversation,
    parse_conversations,
    parse_deleted_conversation,
    parse_deleted_conversations,
)
from abyssal.client.conversation_params import (
    ConversationListParams,
    ConversationParams,
    conversation_body,
)
from abyssal.client.lines import LineReader
from abyssal.client.params import CallOptions, PageOptions
from abyssal.client.paths import id_path, query
from abyssal.client.routes import (
    CONVERSATION,
    CONVERSATIONS,
    DELETE_CONVERSATIONS,
    NEW_CONVERSATION,
)
from abyssal.client.transport import AsyncStreamedAnswer
from abyssal.wire.conversations import (
    Conversation,
    ConversationPage,
    DeletedConversation,
    DeletedConversations,
    Turn,
    decode_exported,
)
from abyssal.wire.errors import LocalError, StreamInterruptedError


class AsyncConversations:
    """`client.conversations`. The methods raise as `chat.completions.create` does; another's id is a 404."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, **params: Unpack[ConversationParams]) -> Conversation:
        """A new conversation; give its `id` to calls as `conversation_id`.

        The arguments are those of `abyssal.client.conversation_params.ConversationParams`; none is needed.
        """
        core = self._caller.core
        call = core.keyed(NEW_CONVERSATION, conversation_body(params), params, params.get("idempotency_key"))
        return parse_conversation(await self._caller.send(call), core.secret)

    async def list(self, **params: Unpack[ConversationListParams]) -> ConversationPage:
        """A page of them, oldest first; its `next` goes into `after=`. `user_id=`: that person's alone."""
        core = self._caller.core
        tail = query("list", params, ConversationListParams.__annotations__)
        call = core.call(CONVERSATIONS, None, params, tail=tail)
        return parse_conversations(await self._caller.send(call), core.secret)

    async def retrieve(self, conversation_id: str, /, **params: Unpack[PageOptions]) -> Conversation:
        """One conversation, with a page of its `turns`, oldest first."""
        core = self._caller.core
        tail = id_path("retrieve", conversation_id) + query("retrieve", params, PageOptions.__annotations__)
        return parse_conversation(
            await self._caller.send(core.call(CONVERSATION, None, params, tail=tail)), core.secret
        )

    async def delete(self, conversation_id: str, /, **options: Unpack[CallOptions]) -> DeletedConversation:
        """Deletes one with all that was said in it, at once."""
        core = self._caller.core
        tail = id_path("delete", conversation_id) + query("delete", options, CallOptions.__annotations__)
        call = core.call(DELETE_CONVERSATIONS, None, options, tail=tail)
        return parse_deleted_conversation(await self._caller.send(call), core.secret)

    async def delete_all(self, *, user_id: str, **options: Unpack[CallOptions]) -> DeletedConversations:
        """Deletes all that are that person's: whoever asks to be forgotten. `deleted` is how many."""
        core = self._caller.core
        asked: ConversationListParams = {**options, "user_id": user_id}
        tail = query("delete_all", asked, ConversationListParams.__annotations__)
        call = core.call(DELETE_CONVERSATIONS, None, options, tail=tail)
        return parse_deleted_conversations(await self._caller.send(call), core.secret)

    async def export(self, *, user_id: str | None = None, **options: Unpack[CallOptions]) -> AsyncExport:
        """All conversations, or that person's: an iterator of each Conversation, then of its Turns."""
        asked: ConversationListParams = {**options, "user_id": user_id}
        tail = query("export", asked, ConversationListParams.__annotations__)
        tail = f"{tail}&format=jsonl" if tail else "?format=jsonl"
        call = self._caller.core.call(CONVERSATIONS, None, options, tail=tail, stream=True)
        return AsyncExport(await self._caller.open(call))


class AsyncExport:
    """What was exported, as it comes, once. A context manager that closes the connection.

    Iterating raises StreamInterruptedError when it was cut: what came by then is not all.
    """

    def __init__(self, answer: AsyncStreamedAnswer) -> None:
        self._answer = answer
        self._reader = LineReader(decode_exported)
        self._ready: deque[Conversation | Turn] = deque()
        self._ended = False

    async def aclose(self) -> None:
        """Cuts the connection, unless the export came to its end. Any number of times."""
        self._ended = True
        await self._answer.aclose()

    def __aiter__(self) -> AsyncIterator[Conversation | Turn]:
        return self

    async def __anext__(self) -> Conversation | Turn:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                data = await self._answer.read()
                self._ready.extend(self._reader.feed(data))
            except LocalError as error:
                await self.aclose()
                raise StreamInterruptedError(f"The export was cut, and is not whole: {error}") from error
            if not data:
                await self.aclose()
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
