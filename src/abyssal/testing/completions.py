"""Completions in the official service's shape, as plain objects: usage, whole answers, stream chunks.

Knows JSON shapes only, nothing of HTTP. Shapes from the DeepSeek API reference, "Create Chat Completion"
and "Create FIM Completion". Tokens are estimated at four characters each: plausible and repeatable.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Literal, cast

import msgspec

from abyssal.testing.received import ReceivedRequest

UsageStyle = Literal["official", "openai", "none"]
"""Where a stream's usage rides: on the last chunk whatever was asked (official); on a chunk of its own with
empty `choices`, if `stream_options.include_usage` asked for it (openai); nowhere (none)."""

FINGERPRINT = "fp_scripted"
_CACHE_UNIT = 64  # tokens; the official cache counts hits in units of this size
_WORDS = re.compile(r"\s*\S+|\s+$")


class Message(msgspec.Struct, frozen=True):
    """What the assistant says. `usage` True means: estimate; a mapping is sent as given; False: none."""

    content: str | None
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, Any] | bool = True
    finish_reason: str | None = None
    extra: Mapping[str, Any] = {}

    def reason_to_finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


class Deltas(msgspec.Struct, frozen=True):
    """How a message is streamed: its pieces, in order, and where `usage` goes."""

    content: Sequence[str]
    reasoning: Sequence[str] = ()
    repeat: int = 1
    usage_style: UsageStyle = "official"


def tool_call(
    name: str, arguments: Mapping[str, Any] | str, *, id: str = "call_00_scripted"
) -> dict[str, Any]:
    """A tool call as an assistant message carries it; `arguments` as an object or as the raw JSON text."""
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text}}


def words(text: str | None) -> list[str]:
    """`text` cut before each run of blanks: joined, the pieces are the text again."""
    return _WORDS.findall(text) if text else []


def estimated_tokens(text: str | None) -> int:
    """Tokens that `text` may be worth, four characters each, rounded up."""
    return (len(text) + 3) // 4 if text else 0


def last_user_text(request: ReceivedRequest) -> str:
    """The text of the last user message, parts joined; "" where there is none."""
    for message in reversed(_messages(request)):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def usage_of(request: ReceivedRequest, message: Message, times: int = 1) -> dict[str, Any] | None:
    """The `usage` object for this exchange, its content said `times` times; None if there is to be none."""
    if message.usage is False:
        return None
    if message.usage is not True:
        return dict(message.usage)
    prompt = sum(4 + estimated_tokens(_text(said.get("content"))) for said in _messages(request))
    prompt = max(prompt, estimated_tokens(_text(request.fields.get("prompt"))), 1)
    reasoning = estimated_tokens(message.reasoning)
    completion = reasoning + estimated_tokens(message.content) * times
    completion += sum(estimated_tokens(str(call)) for call in message.tool_calls)
    hit = prompt // _CACHE_UNIT * _CACHE_UNIT
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": hit},
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": prompt - hit,
    }
    if message.reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def chat_completion(request: ReceivedRequest, message: Message) -> dict[str, Any]:
    """A whole `chat.completion`."""
    said: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.reasoning is not None:
        said["reasoning_content"] = message.reasoning
    if message.tool_calls:
        said["tool_calls"] = message.tool_calls
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": message.reason_to_finish()}
    return _whole(request, message, "chat.completion", choice)


def text_completion(request: ReceivedRequest, message: Message) -> dict[str, Any]:
    """A whole `text_completion`, the answer of the completions route."""
    choice = {
        "text": message.content or "",
        "index": 0,
        "logprobs": None,
        "finish_reason": message.reason_to_finish(),
    }
    return _whole(request, message, "text_completion", choice)


def chat_chunks(request: ReceivedRequest, message: Message, deltas: Deltas) -> Iterator[dict[str, Any]]:
    """The `chat.completion.chunk` objects of a stream, in order; the closing ``[DONE]`` is not one."""
    thinking = message.reasoning is not None
    first: dict[str, Any] = {"role": "assistant", "content": None if thinking else ""}
    if thinking:
        first["reasoning_content"] = ""
    asked = request.fields.get("stream_options")
    include = isinstance(asked, dict) and cast("dict[str, Any]", asked).get("include_usage") is True
    base = _base(request, "chat.completion.chunk") | dict(message.extra)

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        event = base | {"choices": [choice]}
        if include and deltas.usage_style != "none":
            event["usage"] = None
        return event

    yield chunk(first)
    for piece in deltas.reasoning:
        yield chunk({"content": None, "reasoning_content": piece})
    for piece in chain.from_iterable(repeat(deltas.content, deltas.repeat)):
        yield chunk({"content": piece, "reasoning_content": None} if thinking else {"content": piece})
    for index, call in enumerate(message.tool_calls):
        yield from (chunk({"tool_calls": [part]}) for part in _call_parts(index, call))
    last = chunk({"content": ""}, message.reason_to_finish())
    usage = usage_of(request, message, deltas.repeat)
    if usage is not None and deltas.usage_style == "official":
        last["usage"] = usage
    yield last
    if usage is not None and deltas.usage_style == "openai" and include:
        yield base | {"choices": [], "usage": usage}


def text_chunks(request: ReceivedRequest, message: Message, deltas: Deltas) -> Iterator[dict[str, Any]]:
    """The `text_completion` objects of a stream of the completions route; usage rides on the last one."""
    base = _base(request, "text_completion") | dict(message.extra)
    for piece in chain.from_iterable(repeat(deltas.content, deltas.repeat)):
        yield base | {"choices": [{"text": piece, "index": 0, "logprobs": None, "finish_reason": None}]}
    choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": message.reason_to_finish()}
    last = base | {"choices": [choice]}
    usage = usage_of(request, message, deltas.repeat)
    if usage is not None and deltas.usage_style != "none":
        last["usage"] = usage
    yield last


def _base(request: ReceivedRequest, kind: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "object": kind,
        "created": time.time_ns() // 1_000_000_000,
        "model": request.fields.get("model", "unnamed"),
        "system_fingerprint": FINGERPRINT,
    }


def _whole(request: ReceivedRequest, message: Message, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    whole = _base(request, kind) | {"choices": [choice]}
    usage = usage_of(request, message)
    if usage is not None:
        whole["usage"] = usage
    return whole | dict(message.extra)


def _call_parts(index: int, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A tool call as a stream carries it: the name first, then its arguments in two pieces."""
    function: Mapping[str, Any] = call.get("function", {})
    arguments = str(function.get("arguments", ""))
    half = len(arguments) // 2
    opening = {key: value for key, value in call.items() if key != "function"}
    yield {"index": index} | opening | {"function": {"name": function.get("name"), "arguments": ""}}
    for part in (arguments[:half], arguments[half:]):
        if part:
            yield {"index": index, "function": {"arguments": part}}


def _messages(request: ReceivedRequest) -> list[dict[str, Any]]:
    found = request.fields.get("messages")
    if not isinstance(found, list):
        return []
    messages = cast("list[Any]", found)
    return [cast("dict[str, Any]", message) for message in messages if isinstance(message, dict)]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = cast("list[Any]", content)
    return "".join(
        _text(cast("dict[str, Any]", part).get("text")) for part in parts if isinstance(part, dict)
    )
