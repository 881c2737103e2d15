"""Repair `flat_content`: arrays of text parts become strings, for servers that take no arrays as content.

Parts are joined by a line feed, as vLLM does. Content with any other part, or a part with more than its text
(a cache mark), is left as it is: flattening would lose something.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.repairs.events import fields_of_value
from abyssal.wire.chat_request import ChatRequest

_message = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def has_parts(request: ChatRequest) -> bool:
    """Whether some content is an array."""
    return any(isinstance(said.content, list) for said in request.messages)


def flatten(messages: list[msgspec.Raw]) -> bool:
    """Flatten what can be in `messages`; whether there was any."""
    changed = False
    for place, raw in enumerate(messages):
        said = _message.decode(raw)
        text = _text_of(said.get("content"))
        if text is not None:
            messages[place] = msgspec.Raw(_encode(said | {"content": text}))
            changed = True
    return changed


def _text_of(content: Any) -> str | None:
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for item in content:  # pyright: ignore[reportUnknownVariableType]
        part = fields_of_value(item)
        if part.keys() != {"type", "text"} or part["type"] != "text":
            return None
        texts.append(part["text"])
    return "\n".join(texts)
