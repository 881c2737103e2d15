"""The stage *compose* as a whole: the conversation first, then the files that it and the call name.

So a kept turn has its files by their ids, as they came, and what stands for them is put in at each call.
"""

from __future__ import annotations

import asyncio

from msgspec import UNSET

from abyssal.gateway.compose.conversations import Conversations
from abyssal.gateway.compose.files import Files
from abyssal.gateway.exchange import Exchange
from abyssal.wire.chat_request import ChatRequest


class InOrder:
    """See the module."""

    def __init__(self, conversations: Conversations, files: Files, loop: asyncio.AbstractEventLoop) -> None:
        self._conversations, self._loop = conversations, loop
        self._put_files_in = files.compose
        self.left = conversations.left

    def compose(self, exchange: Exchange) -> asyncio.Future[None] | None:
        """Make the request whole. Raises ApiError, now or in the future."""
        request = exchange.request
        assert isinstance(request, ChatRequest)
        if (
            request.conversation_id is UNSET
            and request.context_window is UNSET
            and request.language is UNSET
            and request.cache is UNSET
            and request.experiment is UNSET
        ):
            return self._put_files_in(exchange)  # nearly every call: not even asked further
        return self._in_turn(exchange, request)

    def _in_turn(self, exchange: Exchange, asked: ChatRequest) -> asyncio.Future[None] | None:
        first = self._conversations.compose(exchange)
        if first is None:
            return self._put_files_in(exchange)
        whole: asyncio.Future[None] = self._loop.create_future()
        under_way = [first]

        def opened(first: asyncio.Future[None]) -> None:
            if whole.done():
                self.left(exchange)  # the client was gone before it was there
            elif not _failed(first, whole):
                try:
                    second = self._put_files_in(exchange, asked)
                except Exception as error:  # noqa: BLE001  the pipeline tells them apart
                    whole.set_exception(error)
                    return
                if second is None:
                    whole.set_result(None)
                else:
                    under_way.append(second)
                    second.add_done_callback(put_in)

        def put_in(second: asyncio.Future[None]) -> None:
            if not whole.done() and not _failed(second, whole):
                whole.set_result(None)

        def over(whole: asyncio.Future[None]) -> None:
            if whole.cancelled():
                under_way[-1].cancel()

        first.add_done_callback(opened)
        whole.add_done_callback(over)
        return whole


def _failed(part: asyncio.Future[None], whole: asyncio.Future[None]) -> bool:
    """Whether `part` went wrong, which `whole` is told then."""
    if part.cancelled():
        whole.cancel()
        return True
    fault = part.exception()
    if fault is not None:
        whole.set_exception(fault)
    return fault is not None
