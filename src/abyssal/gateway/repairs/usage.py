"""Repair `usage`: what an upstream did not count is estimated, and says so (`"estimated": true`).

Four bytes of a request are a token, and of an answer too; in a stream every event is one.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.exchange import Exchange
from abyssal.wire.chat import Choice
from abyssal.wire.guard import with_fields
from abyssal.wire.usage import TokenUsage

_BYTES_PER_TOKEN = 4


class _Chat(msgspec.Struct):
    choices: list[Choice]


_chat = msgspec.json.Decoder(_Chat)
_encode = msgspec.json.Encoder().encode


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool = True


def with_usage(exchange: Exchange, body: bytes) -> tuple[bytes, TokenUsage | None]:
    """A whole answer with its usage filled in, and that; as it came where it is no chat completion."""
    try:
        choices = _chat.decode(body).choices
    except msgspec.DecodeError:
        return body, None
    if not choices:
        return body, None
    said = 0
    for choice in choices:
        message = choice.message
        texts = [message.content, message.reasoning_content]
        texts += [call.function.arguments for call in message.tool_calls or ()]
        said += sum(len(text.encode("utf-8", "replace")) for text in texts if text)
    usage = _estimate(exchange, -(-said // _BYTES_PER_TOKEN))
    counted = TokenUsage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, estimated=True)
    return with_fields(body, usage=usage), counted


def stream_usage(exchange: Exchange, more: int) -> msgspec.Raw:
    """The usage of a stream of which `more` events come on top of those that the exchange has counted."""
    return msgspec.Raw(_encode(_estimate(exchange, exchange.relayed_events + more)))


def _estimate(exchange: Exchange, completion: int) -> _Usage:
    prompt = max(1, len(exchange.body) // _BYTES_PER_TOKEN)
    return _Usage(prompt, completion, prompt + completion)
