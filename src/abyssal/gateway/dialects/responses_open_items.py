"""Items of a streamed response while they are written: what has come of each, the bytes around its pieces.

The bytes of a delta event that are the same for every piece are made once, when an item opens.
Source: OpenAI API, "Streaming events".
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.dialects.responses_object import (
    FunctionCallItem,
    MessageItem,
    OutputItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
)

_encode = msgspec.json.Encoder().encode
_NUMBER = b',"sequence_number":'


class OpenText:
    """A message, or reasoning (`kind`), with its one part."""

    __slots__ = ("delta", "id", "index", "kind", "logprobs", "pieces", "place", "rest")

    def __init__(self, kind: str, index: int, key: str) -> None:
        self.kind = kind
        self.index = index
        self.id = f"{'rs' if kind == 'reasoning' else 'msg'}_{key}_{index}"
        self.pieces: list[str] = []
        self.logprobs: list[dict[str, Any]] = []
        self.place: dict[str, Any] = {"item_id": self.id, "output_index": index, "content_index": 0}
        self.delta = _before_delta(f"{self._text_event}.delta", self.place)
        self.rest = _NUMBER if kind == "reasoning" else b',"logprobs":[]' + _NUMBER

    @property
    def _text_event(self) -> str:
        return "response.reasoning_text" if self.kind == "reasoning" else "response.output_text"

    def telling(self, logprobs: list[dict[str, Any]]) -> bytes:
        """As `rest`, with log probabilities, after a comma."""
        return b'"logprobs":' + _encode(logprobs) + _NUMBER

    def part(self) -> OutputText | ReasoningText:
        """The part with all that has come."""
        text = "".join(self.pieces)
        return ReasoningText(text) if self.kind == "reasoning" else OutputText(text, logprobs=self.logprobs)

    def opening(self) -> OutputItem:
        """The item before its part."""
        if self.kind == "reasoning":
            return ReasoningItem(self.id, "in_progress", [])
        return MessageItem(self.id, "in_progress", [])

    def item(self, status: str) -> OutputItem:
        """The item with all that has come."""
        part = self.part()
        if isinstance(part, ReasoningText):
            return ReasoningItem(self.id, status, [part])
        return MessageItem(self.id, status, [part])

    def endings(self) -> list[tuple[str, dict[str, Any]]]:
        """Events that end the part: their types and fields."""
        part = self.part()
        done = self.place | {"text": part.text}
        if isinstance(part, OutputText):
            done["logprobs"] = part.logprobs
        return [
            (f"{self._text_event}.done", done),
            ("response.content_part.done", self.place | {"part": part}),
        ]


class OpenCall:
    """A function call. `upstream_id` is what the upstream called it, None for nothing."""

    __slots__ = ("call_id", "delta", "id", "index", "kind", "name", "pieces", "place", "rest", "upstream_id")

    def __init__(self, index: int, key: str, call_id: str, name: str, upstream_id: str | None) -> None:
        self.kind = "function_call"
        self.index = index
        self.id = f"fc_{key}_{index}"
        self.call_id = call_id
        self.name = name
        self.upstream_id = upstream_id
        self.pieces: list[str] = []
        self.place: dict[str, Any] = {"item_id": self.id, "output_index": index}
        self.delta = _before_delta("response.function_call_arguments.delta", self.place)
        self.rest = _NUMBER

    def item(self, status: str) -> OutputItem:
        """The item with all that has come."""
        return FunctionCallItem(self.id, status, self.call_id, self.name, "".join(self.pieces))

    def endings(self) -> list[tuple[str, dict[str, Any]]]:
        """The event that ends the arguments: its type and fields."""
        done = self.place | {"name": self.name, "arguments": "".join(self.pieces)}
        return [("response.function_call_arguments.done", done)]


def _before_delta(kind: str, place: dict[str, Any]) -> bytes:
    """The bytes of a delta event up to its text."""
    fields = _encode({"type": kind, **place})
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), fields[:-1])
