"""The estimate of `count_tokens`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.dialects.anthropic_tokens import FRAME_TOKENS, PART_TOKENS, count_tokens, text_tokens
from abyssal.wire.errors import BadRequestError

TOOL = {"name": "weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}


def count(content: Any, role: str = "user", **fields: Any) -> int:
    body = {"model": "claude-opus-4-8", "messages": [{"role": role, "content": content}]} | fields
    answer = json.loads(count_tokens(json.dumps(body).encode()))
    assert set(answer) == {"input_tokens"}
    return answer["input_tokens"]


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a" * 10, 3), ("深度求索深", 3), ("привет мир", 3.9), ("🐳", 0.8)]
)
def test_text(text: str, tokens: float) -> None:
    assert text_tokens(text) == pytest.approx(tokens)


def test_a_message_has_its_frame() -> None:
    assert count("a" * 100) == FRAME_TOKENS + 30
    assert count([{"type": "text", "text": "a" * 100}]) == FRAME_TOKENS + 30
    assert count("a" * 100, system="b" * 50) == 2 * FRAME_TOKENS + 45


def test_images_and_files_are_a_constant() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a" * 10_000}}
    assert count([image, image]) == FRAME_TOKENS + 2 * PART_TOKENS


def test_tools_and_calls_count() -> None:
    alone = count("hi")
    assert count("hi", tools=[TOOL]) > alone + FRAME_TOKENS + 20
    call = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "x" * 100}}
    assert count([call], "assistant") == pytest.approx(FRAME_TOKENS + 0.3 * (7 + 111), abs=1)


def test_earlier_thinking_counts_only_with_tools() -> None:
    thought = [{"type": "thinking", "thinking": "x" * 1000, "signature": "s"}, {"type": "text", "text": "hi"}]
    assert count(thought, "assistant") < 10
    assert count(thought, "assistant", tools=[TOOL]) > 300


def test_what_a_message_request_has_besides_is_passed_over() -> None:
    assert count(
        "hi", thinking={"type": "disabled"}, tool_choice={"type": "auto"}, max_tokens="any"
    ) == count("hi")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"tools": [{"name": "t"}]}, "tools[0].input_schema"),
    ],
)
def test_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        count("hi", **fields)
    assert caught.value.param == param
