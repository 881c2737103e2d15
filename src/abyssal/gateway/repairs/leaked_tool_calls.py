"""Repair `leaked_tool_calls`: tool calls that a server left in the text as the model's markup.

1. Only requests with tools are looked at, and only calls of their functions are taken for calls.
2. In a stream, text that may begin markup is held back until it is known; from where markup begins, the rest
   of the text waits for the end. What is no call after all is sent as the text that it is.
3. A choice whose calls were found ends with `tool_calls`. A stream tells of the repair in a comment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abyssal.gateway.repairs.events import Fields, as_event, choices_of, fields_of
from abyssal.gateway.repairs.tool_markup import Call, begins_markup, parse_markup, split_at_markup
from abyssal.wire.official_stream import split_events

NAME = "leaked_tool_calls"
_MOST_TEXT = 64 * 1024  # characters that wait; more of them are text
_COMMENT = b": x-abyssal-repairs: leaked_tool_calls\n\n"
_encode = msgspec.json.Encoder().encode


class LeakedToolCalls:
    """Repairs one answer. `call_id` names calls by their places; `told` is called when one was found."""

    __slots__ = ("_call_id", "_functions", "_told", "_waiting")

    def __init__(
        self, functions: frozenset[str], call_id: Callable[[int], str], told: Callable[[], None]
    ) -> None:
        self._functions, self._call_id, self._told = functions, call_id, told
        self._waiting: dict[Any, str] = {}  # text that is held back, by choice

    def answer(self, body: bytes) -> bytes:
        """A whole answer, JSON."""
        if b"<" not in body and b"\\u" not in body:
            return body
        fields = fields_of(body)
        if fields is None:
            return body
        changed = False
        for choice, said in choices_of(fields, "message"):
            content = said.get("content")
            if isinstance(content, str) and not said.get("tool_calls"):
                before, markup = split_at_markup(content)
                calls = self._calls(markup)
                if calls:
                    said["content"] = before.rstrip() or None
                    said["tool_calls"] = [self._whole(*call) for call in enumerate(calls)]
                    choice["finish_reason"] = "tool_calls"
                    changed = True
        if changed:
            self._told()
        return _encode(fields) if changed else body

    def feed(self, events: bytes) -> bytes:
        """Whole events of a stream."""
        if not self._waiting and b"<" not in events and b"\\u" not in events:
            return events
        return b"".join(self._event(event) for event in split_events(events))

    def end(self) -> bytes:
        """What waits when the stream breaks off: text."""
        rest, self._waiting = self._waiting, {}
        return b"".join(
            as_event({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]})
            for index, text in rest.items()
            if text
        )

    def _event(self, event: bytes) -> bytes:
        data = event.strip()
        chunk = fields_of(data[5:]) if data.startswith(b"data:") else None
        if chunk is None:
            return self.end() + event if data == b"data: [DONE]" else event
        out: list[bytes] = []
        changed = False
        for choice, delta in choices_of(chunk, "delta"):
            changed = self._take(chunk, choice, delta, out) or changed
        return b"".join(out) + (as_event(chunk) if changed else event)

    def _take(self, chunk: Fields, choice: Fields, delta: Fields, out: list[bytes]) -> bool:
        """Note a piece of a choice; whether its chunk was changed. `out` gets what comes before the chunk."""
        index = choice.get("index")
        waited = self._waiting.pop(index, "")
        content = delta.get("content")
        text = waited + (content if isinstance(content, str) else "")
        finish = choice.get("finish_reason")
        before, markup = split_at_markup(text)
        if finish is not None:
            calls = self._calls(markup) if finish in ("stop", "tool_calls") else []
            if calls:
                self._told()
                out.append(_COMMENT)
                out += [self._called(chunk, index, *call) for call in enumerate(calls)]
                choice["finish_reason"] = "tool_calls"
                text = before.rstrip()
        elif markup and len(markup) <= _MOST_TEXT:
            self._waiting[index] = markup
            text = before
        if text == (content or ""):
            return finish is not None and choice["finish_reason"] != finish
        delta["content"] = text
        return True

    def _calls(self, markup: str) -> list[Call]:
        calls = parse_markup(markup) if begins_markup(markup) else []
        return calls if all(name in self._functions for name, _ in calls) else []

    def _whole(self, place: int, call: Call) -> Fields:
        name, arguments = call
        return {
            "id": self._call_id(place),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }

    def _called(self, chunk: Fields, index: Any, place: int, call: Call) -> bytes:
        delta = {"tool_calls": [{"index": place, **self._whole(place, call)}]}
        choices = [{"index": index, "delta": delta, "finish_reason": None}]
        return as_event({**chunk, "choices": choices, "usage": None})
