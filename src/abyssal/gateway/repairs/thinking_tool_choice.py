"""Repair `thinking_tool_choice`: a forced tool call switches thinking off for the one request.

The service thinks unless told otherwise, and refuses `tool_choice` "required" or a named function while it
does. Who asked to think is left to be refused: they contradict themselves. Source: DeepSeek API, "Thinking
mode does not support this tool_choice".
"""

from __future__ import annotations

from typing import Any

from abyssal.wire.chat_request import ChatRequest

_FORCED = ("required",)
_DISABLED = {"type": "disabled"}


def forces_a_call(request: ChatRequest) -> bool:
    """Whether a forced call meets thinking that nobody asked for."""
    choice = request.tool_choice
    forced = isinstance(choice, dict) or choice in _FORCED
    return forced and request.thinking is None and request.reasoning_effort != "none"


def without_thinking(fields: dict[str, Any]) -> None:
    """Switch thinking off in the request's `fields`; an effort to think with goes too."""
    fields["thinking"] = _DISABLED
    fields.pop("reasoning_effort", None)
