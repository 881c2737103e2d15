"""Repair `legacy_functions`: `functions` and `function_call`, for upstreams that know only `tools`.

1. `functions` become tools, `function_call` a `tool_choice`; where `tools` are there too, those count alone.
2. In earlier turns a `function_call` becomes one of `tool_calls`, with an id of its place, and a message of
   the role `function` the `tool` message that answers it.
3. A client that sent `functions` is answered with `function_call`, plain or streamed. The old form has room
   for one call: further ones are left out.

Source: OpenAI API, "Create chat completion", the deprecated fields.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.repairs.events import Fields, Rewriter
from abyssal.wire.chat_request import AssistantMessage, ChatRequest, FunctionMessage

_NEEDLE = b"function"


class _Called(msgspec.Struct):
    role: str = ""
    function_call: Any = None


_called = msgspec.json.Decoder(_Called)
_fields = msgspec.json.Decoder(dict[str, Any])
_functions = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def is_legacy(request: ChatRequest) -> bool:
    """Whether anything of the request is in the old form."""
    if request.functions is not None:
        return True
    for said in request.messages:  # isinstance asks a metaclass, which takes five times as long
        if type(said) is AssistantMessage:
            if said.function_call is not None:
                return True
        elif type(said) is FunctionMessage:
            return True
    return False


def as_tools(fields: Fields, messages: list[msgspec.Raw], request: ChatRequest) -> bool:
    """Put the old form in `fields` and `messages` into the new one; whether there was anything to change."""
    changed = _modern_turns(messages)
    if request.functions is None or request.tools is not None:
        return changed
    functions = _functions.decode(fields.pop("functions"))
    if functions:
        fields["tools"] = [{"type": "function", "function": function} for function in functions]
    choice = request.function_call
    fields.pop("function_call", None)
    if isinstance(choice, dict):
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif choice is not None and functions:
        fields["tool_choice"] = choice
    return True


def _modern_turns(messages: list[msgspec.Raw]) -> bool:
    changed = False
    called = ""  # the id of the last call
    for place, raw in enumerate(messages):
        if _NEEDLE not in bytes(raw):
            continue
        said = _called.decode(raw)
        if said.role == "assistant" and isinstance(said.function_call, dict):
            turn = _fields.decode(raw)
            called = f"call_{place:02d}_function"
            turn["tool_calls"] = [{"id": called, "type": "function", "function": turn.pop("function_call")}]
        elif said.role == "function":
            turn = _fields.decode(raw)
            turn = {"role": "tool", "tool_call_id": called or f"call_{place:02d}_function",
                    "content": turn.get("content") or ""}  # fmt: skip
        else:
            continue
        messages[place] = msgspec.Raw(_encode(turn))
        changed = True
    return changed


class LegacyAnswer(Rewriter):
    """Answers a client that sent `functions`."""

    __slots__ = ()

    needle = b"tool_calls"  # the field, and the finish reason

    def rewrite(self, choice: Fields, said: Fields, *, whole: bool) -> bool:
        changed = False
        calls = said.pop("tool_calls", None)
        if isinstance(calls, list):
            changed = True
            first: list[Any] = [call for call in calls if isinstance(call, dict) and not call.get("index")]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if first and isinstance(first[0].get("function"), dict):
                said["function_call"] = first[0]["function"]
        if choice.get("finish_reason") == "tool_calls":
            choice["finish_reason"] = "function_call"
            changed = True
        return changed
