"""Reads an Anthropic stream as its clients must: events in the order that is laid down, put together."""

from __future__ import annotations

import json
from typing import Any

from abyssal.wire.sse import EventDecoder

DELTAS = {
    "thinking_delta": ("thinking", "thinking"),
    "text_delta": ("text", "text"),
    "signature_delta": ("thinking", "signature"),
}


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The events' data; the event's name must be its type."""
    found: list[dict[str, Any]] = []
    for event in EventDecoder().feed(stream):
        data = json.loads(event.data)
        assert data["type"] == event.type
        found.append(data)
    return found


def message_of(stream: bytes) -> dict[str, Any]:
    """The message that a whole stream tells; AssertionError where an event stands in a wrong place."""
    first, *events = events_of(stream)
    assert first["type"] == "message_start"
    message: dict[str, Any] = first["message"]
    assert message["content"] == []
    arguments: dict[int, str] = {}
    is_open = False
    assert events.pop() == {"type": "message_stop"}
    last = events.pop()
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
            is_open = True
            continue
        assert is_open
        assert event["index"] == len(message["content"]) - 1
        block = message["content"][-1]
        if event["type"] == "content_block_stop":
            is_open = False
            if block["type"] == "tool_use":
                block["input"] = json.loads(arguments.get(event["index"], "{}"))
        elif event["delta"]["type"] == "input_json_delta":
            assert block["type"] == "tool_use"
            arguments[event["index"]] = arguments.get(event["index"], "") + event["delta"]["partial_json"]
        else:
            kind, field = DELTAS[event["delta"]["type"]]
            assert block["type"] == kind
            block[field] += event["delta"][field]
    assert not is_open
    assert last["type"] == "message_delta"
    return message | last["delta"] | {"usage": last["usage"]}
