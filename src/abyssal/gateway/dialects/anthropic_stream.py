"""Writes the official chat answer as Anthropic does; mostly the events of a stream.

Rules (Anthropic API, "Streaming Messages"):
1. `message_start` first, once. Its usage is zeros: nothing is known yet. `message_delta` has the real one.
2. Blocks come one after another, each `content_block_start`, its deltas, `content_block_stop`. A piece of
   another kind, or of another tool call, ends the open block and begins the next.
3. A thinking block ends with its signature.
4. `message_delta` (stop reason, usage) and `message_stop` wait for the end of the answer, since the usage
   may come after the finish reason.
5. An error is the last event.
"""

from __future__ import annotations

from typing import Final

import msgspec

from abyssal.gateway.dialects.anthropic_answer import (
    Fields,
    empty_message,
    signature_of,
    stop_reason,
    usage_fields,
    whole_message,
)
from abyssal.gateway.dialects.anthropic_errors import error_in_stream, written_error
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, ToolCallDelta, Usage
from abyssal.wire.errors import ErrorObject

_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
)
_DELTA_END = b"}}\n\n"
_BLOCK_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_NONE, _THINKING, _TEXT, _TOOL = "", "thinking", "text", "tool_use"
_DELTAS: Final = {  # of a kind of block: the delta's type, and its field
    _THINKING: (b"thinking_delta", b"thinking"),
    _TEXT: (b"text_delta", b"text"),
    _TOOL: (b"input_json_delta", b"partial_json"),
}
_BEGUN_THINKING: Final[Fields] = {"type": "thinking", "thinking": "", "signature": ""}
_BEGUN_TEXT: Final[Fields] = {"type": "text", "text": ""}

_encode = msgspec.json.Encoder().encode


class MessageWriter:
    """Writes one answer; `model` is what was asked for, used where the answer names none."""

    __slots__ = (
        "_begun",
        "_called",
        "_finish",
        "_head",
        "_index",
        "_model",
        "_number",
        "_open",
        "_over",
        "_signature",
        "_usage",
    )

    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = self._over = False
        self._open = _NONE  # the kind of the open block
        self._index = -1  # of the open block, or of the last one
        self._head = b""  # of a delta of the open block
        self._number = -1  # of the tool call that is open, or was last
        self._called: set[int] = set()
        self._signature = ""
        self._finish: str | None = None
        self._usage: Usage | None = None

    def answer(self, completion: ChatCompletion) -> bytes:
        """A whole message, JSON."""
        return whole_message(completion, self._model)

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        """The events that a chunk becomes; b"" for none."""
        if self._over:
            return b""
        out = b"" if self._begun else self._begin(chunk.id, chunk.model)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            delta = choice.delta
            if delta.reasoning_content:
                if self._open != _THINKING:
                    out += self._switch(_THINKING, _BEGUN_THINKING)
                out += self._head + _encode(delta.reasoning_content) + _DELTA_END
            if delta.content:
                if self._open != _TEXT:
                    out += self._switch(_TEXT, _BEGUN_TEXT)
                out += self._head + _encode(delta.content) + _DELTA_END
            for call in delta.tool_calls or ():
                out += self._call(call)
                if self._over:
                    return out
            if choice.finish_reason is not None:
                self._finish = choice.finish_reason
        return out

    def end(self) -> bytes:
        """The events that complete the message."""
        if self._over:
            return b""
        out = (b"" if self._begun else self._begin("", "")) + self._close()
        self._over = True
        stop = {"stop_reason": stop_reason(self._finish, called=bool(self._called)), "stop_sequence": None}
        fields: Fields = {"type": "message_delta", "delta": stop, "usage": usage_fields(self._usage)}
        return out + _event("message_delta", fields) + _MESSAGE_STOP

    def broken(self, error: ErrorObject) -> bytes:
        """The event that tells of an error, the last one."""
        self._over = True
        return b"event: error\ndata: %b\n\n" % written_error(error_in_stream(error), error)

    def _begin(self, answer_id: str, model: str) -> bytes:
        self._begun = True
        self._signature = signature_of(answer_id)
        message = empty_message(answer_id, model or self._model, None)
        return _event("message_start", {"type": "message_start", "message": message})

    def _call(self, call: ToolCallDelta) -> bytes:
        """A piece of a tool call. Some servers number none: then an id begins one."""
        number, function = call.index, call.function
        if number is None:
            number = len(self._called) if call.id or not self._called else self._number
        out = b""
        if self._open != _TOOL or number != self._number:
            if number in self._called:
                return self._unusable(f"went back to tool call {number}, which had ended")
            if function is None or not function.name:
                return self._unusable(f"began tool call {number} without the tool's name")
            self._number = number
            self._called.add(number)
            call_id = call.id or f"call_{number}"
            out = self._switch(_TOOL, {"type": _TOOL, "id": call_id, "name": function.name, "input": {}})
        if function is not None and function.arguments:
            out += self._head + _encode(function.arguments) + _DELTA_END
        return out

    def _unusable(self, what: str) -> bytes:
        """End the stream: its pieces cannot be put into blocks."""
        text = f"The upstream {what}; try again."
        return self.broken(ErrorObject(text, "upstream_error", None, "upstream_garbage"))

    def _switch(self, kind: str, block: Fields) -> bytes:
        """End the open block and begin one of `kind`."""
        out = self._close()
        self._open = kind
        self._index += 1
        self._head = _DELTA % (self._index, *_DELTAS[kind])
        fields: Fields = {"type": "content_block_start", "index": self._index, "content_block": block}
        return out + _event("content_block_start", fields)

    def _close(self) -> bytes:
        kind, self._open = self._open, _NONE
        if kind == _NONE:
            return b""
        stop = _BLOCK_STOP % self._index
        if kind == _THINKING:
            head = _DELTA % (self._index, b"signature_delta", b"signature")
            return head + _encode(self._signature) + _DELTA_END + stop
        return stop


def _event(name: str, data: Fields) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))
