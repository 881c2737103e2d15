"""Which requests have thinking switched off, and what that changes in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.repairs.thinking_tool_choice import forces_a_call, without_thinking
from abyssal.wire.chat_request import parse_chat_request

NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "forced"),
    [
        ({"tool_choice": "required"}, True),
        ({"tool_choice": NAMED}, True),
        ({"tool_choice": "required", "thinking": None}, True),
        ({"tool_choice": "required", "reasoning_effort": "high"}, True),
        ({"tool_choice": "required", "reasoning_effort": "none"}, False),
        ({"tool_choice": "required", "thinking": {"type": "enabled"}}, False),
        ({"tool_choice": "required", "thinking": {"type": "disabled"}}, False),
        ({"tool_choice": "auto"}, False),
        ({"tool_choice": "none"}, False),
        ({"tool_choice": None}, False),
        ({}, False),
    ],
)
def test_forced_calls_against_default_thinking(fields: dict[str, Any], forced: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields
    assert forces_a_call(parse_chat_request(json.dumps(body).encode())) is forced


def test_an_effort_goes_with_the_thinking() -> None:
    fields: dict[str, Any] = {"model": "m", "reasoning_effort": "high"}
    without_thinking(fields)
    assert fields == {"model": "m", "thinking": {"type": "disabled"}}
