"""The official chat answer as an Anthropic message, and the words and numbers that streams share with it.

Source: Anthropic API, "Create a Message", response.
"""

from __future__ import annotations

from typing import Final

import msgspec

from abyssal.wire.chat import ChatCompletion, ToolCall, Usage

Fields = dict[str, object]

# What was cut off before its end has one word here, so `max_tokens` stands for all of it.
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "insufficient_system_resource": "max_tokens",
    "aborted": "max_tokens",
}

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def whole_message(completion: ChatCompletion, model: str) -> bytes:
    """A whole message, JSON. `model` is what was asked for, used where the answer names none."""
    blocks: list[Fields] = []
    finish: str | None = None
    called = False
    if completion.choices:
        choice = completion.choices[0]
        said, finish = choice.message, choice.finish_reason
        if said.reasoning_content:
            signature = signature_of(completion.id)
            blocks.append({"type": "thinking", "thinking": said.reasoning_content, "signature": signature})
        if said.content:
            blocks.append({"type": "text", "text": said.content})
        if said.tool_calls:
            blocks += [_tool_use(call) for call in said.tool_calls]
            called = True
    message = empty_message(completion.id, completion.model or model, completion.usage)
    message["content"] = blocks
    message["stop_reason"] = stop_reason(finish, called=called)
    return _encode(message)


def empty_message(answer_id: str, model: str, usage: Usage | None) -> Fields:
    """A message that says nothing yet."""
    return {
        "id": f"msg_{answer_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_fields(usage),
    }


def signature_of(answer_id: str) -> str:
    """The signature of an answer's thinking. Nothing verifies it, yet some clients drop thinking without."""
    return answer_id or "unsigned"


def stop_reason(finish: str | None, *, called: bool) -> str:
    """Anthropic's word for a finish reason; `called`: whether tools were.

    Clients look for tools to run only after `tool_use`, and some servers end a call with "stop".
    """
    reason = _STOP_REASONS.get(finish or "", "end_turn")
    return "tool_use" if called and reason == "end_turn" else reason


def usage_fields(usage: Usage | None) -> Fields:
    """Usage in tokens; zeros where it is not known.

    Anthropic counts what came from the cache apart from `input_tokens`.
    """
    if usage is None:
        usage = _NOTHING_USED
    details = usage.prompt_tokens_details
    cached = usage.prompt_cache_hit_tokens
    if cached is None:
        cached = (details and details.cached_tokens) or 0
    fields: Fields = {
        "input_tokens": max(usage.prompt_tokens - cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }
    spent = usage.completion_tokens_details
    if spent is not None and spent.reasoning_tokens is not None:
        fields["output_tokens_details"] = {"thinking_tokens": spent.reasoning_tokens}
    return fields


_NOTHING_USED = Usage()


def _tool_use(call: ToolCall) -> Fields:
    """A call as a block. Arguments that are no JSON object stay visible, as Anthropic's guide suggests."""
    text = call.function.arguments or "{}"
    try:
        _object.decode(text)
        given: object = msgspec.Raw(text.encode())
    except msgspec.DecodeError:
        given = {"INVALID_JSON": text}
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": given}
