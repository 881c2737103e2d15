"""What the engine is asked, and what it must never be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.upstreams.engine_request import DEEPEST, LONGEST_RUN, check_for_engine, engine_body
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError

LONG_TOOL = {"type": "function", "function": {"name": "n", "description": "b" * LONGEST_RUN}}
LOST_TOOL = {"type": "function", "function": {"name": "lose"}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "find")]


def body_of(content: Any = "hi", **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more}).encode()


def sent(**more: Any) -> dict[str, Any]:
    body = body_of(**more)
    return json.loads(engine_body(parse_chat_request(body), body, "tiny"))


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth > 1 else []


def assistant_with(arguments: str | None) -> bytes:
    function = {"name": "look"} | ({} if arguments is None else {"arguments": arguments})
    call = {"id": "1", "type": "function", "function": function}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    return json.dumps({"model": "m", "messages": messages}).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (body_of("word " * 30_000), "context_length_exceeded"),
        (body_of("a" * LONGEST_RUN), "unsupported_content"),
        (body_of("x" + " " * LONGEST_RUN), "unsupported_content"),
        (body_of("!" * LONGEST_RUN), "unsupported_content"),
        (body_of(tools=[LONG_TOOL]), "unsupported_content"),
        (body_of([{"type": "image_url", "image_url": {"url": "x"}}]), "unsupported_content"),
        (body_of(metadata=nested(DEEPEST + 1)), "nested_too_deeply"),
        (assistant_with("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)), "nested_too_deeply"),
        (assistant_with("{not json"), "invalid_value"),
        (body_of(tools=TOOLS, tool_choice=LOST_TOOL), "invalid_request"),
        (body_of(tools=TOOLS, tool_choice={"type": "function"}), "invalid_request"),
        (body_of([{"type": "text"}]), "missing_field"),
        (assistant_with(None), "invalid_value"),
    ],
    ids=["over the context", "letters", "spaces", "signs", "in a tool", "image", "deep", "deep arguments",
         "arguments not json", "tool that is not there", "no tool", "no text", "no arguments"],
)  # fmt: skip
def test_what_would_hurt_the_engine_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        check_for_engine(parse_chat_request(body), body, 4096)
    assert refused.value.code == code
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        body_of("word " * 20_000),
        body_of("a" * (LONGEST_RUN - 1)),
        body_of(metadata=nested(DEEPEST - 1)),
        assistant_with('{"city": "Paris"}'),
        body_of([{"type": "text", "text": "hi"}]),
        body_of(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "find"}}),
    ],
)
def test_what_does_not_is_taken(body: bytes) -> None:
    check_for_engine(parse_chat_request(body), body, 4096)


def test_only_fields_of_the_specification_travel_on() -> None:
    fields = sent(grammar="root ::= x", id_slot=1, n_predict=-1, samplers=["x"], temperature=0.5, user_id="u")
    assert fields == {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}


def test_a_stream_reports_its_usage_whatever_the_client_said() -> None:
    fields = sent(stream=True, stream_options={"include_usage": False})
    assert fields["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("choice", "names", "sent_choice"),
    [
        ("none", None, None),
        ("auto", ["look", "find"], "auto"),
        ({"type": "function", "function": {"name": "find"}}, ["find"], "required"),
    ],
)
def test_tool_choice_is_put_as_the_engine_understands_it(choice: Any, names: Any, sent_choice: Any) -> None:
    fields = sent(tools=TOOLS, tool_choice=choice)
    tools = fields.get("tools")
    assert (tools and [tool["function"]["name"] for tool in tools]) == names
    assert fields.get("tool_choice") == sent_choice


@pytest.mark.parametrize(("kind", "enabled"), [("enabled", True), ("disabled", False)])
def test_thinking_reaches_the_template(kind: str, enabled: bool) -> None:
    assert sent(thinking={"type": kind})["chat_template_kwargs"] == {"enable_thinking": enabled}


def test_what_is_null_in_a_function_is_left_out() -> None:
    function = {"name": "f", "description": None, "parameters": None, "strict": None}
    fields = sent(tools=[{"type": "function", "function": function}])
    assert fields["tools"] == [{"type": "function", "function": {"name": "f"}}]
