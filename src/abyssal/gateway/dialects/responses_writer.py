"""Writes one answer in the Responses format: whole, or as its stream of events.

Rules of a stream:
 1. `response.created` and `response.in_progress` come first, then the items, then one of
    `response.completed`, `response.incomplete` and `response.failed`; there is no `[DONE]`.
 2. Events are numbered from 0. Text that is empty is no event.
 3. Reasoning and text are written one item at a time: where the other begins, the open one is done.
 4. Function calls stay open until the end, since an upstream may go back and forth between them.
 5. After an error only `response.failed` follows, with what there is of the items.

Source: OpenAI API, "Streaming events"; the official service names reasoning `response.reasoning_text`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abyssal.gateway.dialects.responses_object import (
    COMPLETED,
    Outcome,
    ResponseObject,
    call_id_of,
    logprobs_of,
    outcome_of,
)
from abyssal.gateway.dialects.responses_open_items import OpenCall, OpenText
from abyssal.gateway.dialects.responses_request import ResponsesRequest
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Logprobs, ToolCallDelta, Usage
from abyssal.wire.errors import ErrorObject

_encode = msgspec.json.Encoder().encode
_BEGUN = Outcome("in_progress")
_NOTHING = ErrorObject("The upstream answered nothing; send the request again.", code="server_error")


class ResponseWriter:
    """See the module. It belongs to one request, whose bytes are `body`; `now` gives Unix seconds."""

    def __init__(self, request: ResponsesRequest, body: bytes, now: Callable[[], int] | None = None) -> None:
        self._object = ResponseObject(request, body, now)
        self._begun = False
        self._number = 0  # of the next event
        self._items: list[OpenText | OpenCall] = []
        self._done: dict[int, bytes] = {}  # items that are written, by their place in the output
        self._text: OpenText | None = None  # the reasoning or message under way
        self._last: OpenText | OpenCall | None = None  # what was written to last
        self._calls: dict[int, OpenCall] = {}  # by the upstream's index
        self._call_ids: set[str] = set()
        self._usage: Usage | None = None
        self._finish_reason: str | None = None

    def answer(self, completion: ChatCompletion) -> bytes:
        """A whole answer, JSON."""
        return self._object.whole(completion)

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The events of one chunk, b"" for none."""
        out = b"" if self._begun else self._begin(chunk.id, chunk.created, chunk.model)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            return out
        choice = chunk.choices[0]
        delta = choice.delta
        if delta.reasoning_content:
            out += self._say("reasoning", delta.reasoning_content, None)
        if delta.content:
            out += self._say("message", delta.content, choice.logprobs)
        if delta.tool_calls:
            for piece in delta.tool_calls:
                out += self._call(piece)
        if choice.finish_reason is not None:
            self._finish_reason = choice.finish_reason
        return out

    def end(self) -> bytes:
        """The items' ends, and the response's."""
        if not self._begun:
            return self.broken(_NOTHING)
        outcome = outcome_of(self._finish_reason)
        out = b""
        if outcome is COMPLETED and all(item.kind == "reasoning" for item in self._items):
            out += self._open("message")  # clients look for a message in a complete answer
        for item in self._items:
            if item.index not in self._done:
                out += self._close(item, outcome.item_status if item is self._last else "completed")
        return out + self._finish(outcome)

    def broken(self, error: ErrorObject) -> bytes:
        """`response.failed`, as the last event."""
        out = b"" if self._begun else self._begin("", 0, "")
        for item in self._items:
            if item.index not in self._done:
                self._done[item.index] = _encode(item.item("incomplete"))
        return out + self._finish(Outcome("failed", error=error))

    def _begin(self, upstream_id: str, created: int, model: str) -> bytes:
        self._begun = True
        self._object.name(upstream_id, created, model)
        response = msgspec.Raw(self._object.written(_BEGUN, [], None))
        created_event = self._event("response.created", response=response)
        return created_event + self._event("response.in_progress", response=response)

    def _finish(self, outcome: Outcome) -> bytes:
        output = [self._done[index] for index in range(len(self._items))]
        response = msgspec.Raw(self._object.written(outcome, output, self._usage))
        return self._event(f"response.{outcome.status}", response=response)

    def _say(self, kind: str, text: str, logprobs: Logprobs | None) -> bytes:
        out = b""
        item = self._text
        if item is None or item.kind != kind:
            out = self._open(kind)
            item = self._text
            assert item is not None
        item.pieces.append(text)
        number = self._number
        self._number = number + 1
        if logprobs is not None and logprobs.content:
            told = logprobs_of(logprobs.content)
            item.logprobs += told
            return b"%b%b%b,%b%d}\n\n" % (out, item.delta, _encode(text), item.telling(told), number)
        return b"%b%b%b%b%d}\n\n" % (out, item.delta, _encode(text), item.rest, number)

    def _open(self, kind: str) -> bytes:
        out = b"" if self._text is None else self._close(self._text, "completed")
        item = self._text = self._last = OpenText(kind, len(self._items), self._object.key)
        self._items.append(item)
        out += self._event("response.output_item.added", output_index=item.index, item=item.opening())
        return out + self._event("response.content_part.added", **item.place, part=item.part())

    def _call(self, piece: ToolCallDelta) -> bytes:
        out = b""
        function = piece.function
        index = piece.index or 0  # without one, what comes belongs to the newest call
        call = self._calls.get(index)
        if call is None or (function and function.name and _differ(piece.id, call.upstream_id)):
            if self._text is not None:
                out += self._close(self._text, "completed")
            at, key = len(self._items), self._object.key
            call_id = call_id_of(piece.id, f"call_{key}_{at}", self._call_ids)
            name = (function and function.name) or ""
            call = self._calls[index] = OpenCall(at, key, call_id, name, piece.id)
            self._items.append(call)
            out += self._event("response.output_item.added", output_index=at, item=call.item("in_progress"))
        elif function is not None and function.name and not call.name:
            call.name = function.name
        self._last = call
        if function is None or not function.arguments:
            return out
        call.pieces.append(function.arguments)
        number = self._number
        self._number = number + 1
        return b"%b%b%b%b%d}\n\n" % (out, call.delta, _encode(function.arguments), call.rest, number)

    def _close(self, item: OpenText | OpenCall, status: str) -> bytes:
        if item is self._text:
            self._text = None
        whole = self._done[item.index] = _encode(item.item(status))
        out = b"".join(self._event(kind, **fields) for kind, fields in item.endings())
        return out + self._event(
            "response.output_item.done", output_index=item.index, item=msgspec.Raw(whole)
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._number
        self._number = number + 1
        data = _encode({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _differ(one: str | None, other: str | None) -> bool:
    """Whether two ids under one index are of two calls: some servers number all their calls 0."""
    return bool(one and other and one != other)
