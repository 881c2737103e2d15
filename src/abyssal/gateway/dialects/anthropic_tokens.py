"""How many tokens an Anthropic request may come to, for `POST /anthropic/v1/messages/count_tokens`.

An estimate, made without asking any upstream: a tokenizer is a model's own, and the gateway has none.

1. Text: as `wire.token_estimate` says.
2. Names, arguments of calls and JSON schemas count as their text; what frames a message and a tool, 4 each.
3. An image or a file counts as `PART_TOKENS`, whatever its size.
4. Earlier thinking counts only with tools: without them the service ignores it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from abyssal.gateway.dialects.anthropic import chat_tools
from abyssal.gateway.dialects.anthropic_messages import Fields, chat_messages
from abyssal.gateway.dialects.anthropic_request import parse_prompt
from abyssal.wire.token_estimate import FRAME_TOKENS, PART_TOKENS, text_tokens

_encode = msgspec.json.Encoder().encode


def count_tokens(body: bytes) -> bytes:
    """The answer to a request (JSON bytes) as JSON: `{"input_tokens": n}`, an estimate, see the module.

    Raises BadRequestError whose `param` names the field.
    """
    prompt = parse_prompt(body)
    tools = chat_tools(prompt.tools or [])
    count = sum(_message_tokens(message, bool(tools)) for message in chat_messages(prompt))
    count += sum(FRAME_TOKENS + text_tokens(_encode(tool).decode()) for tool in tools)
    return _encode({"input_tokens": max(round(count), 1)})


def _message_tokens(message: Fields, with_thinking: bool) -> float:
    count = FRAME_TOKENS + _content_tokens(message["content"])
    if with_thinking and "reasoning_content" in message:
        count += text_tokens(str(message["reasoning_content"]))
    for call in cast("Iterable[dict[str, dict[str, str]]]", message.get("tool_calls", ())):
        count += text_tokens(call["function"]["name"]) + text_tokens(call["function"]["arguments"])
    return count


def _content_tokens(content: Any) -> float:
    if isinstance(content, str):
        return text_tokens(content)
    return sum(PART_TOKENS if part["type"] != "text" else text_tokens(part["text"]) for part in content)
