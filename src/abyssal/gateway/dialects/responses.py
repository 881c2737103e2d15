"""OpenAI's Responses, the stateless part: a request as a chat request, and who writes its answer.

1. Nothing is stored: `store: true` is taken, the answer says `store: false`; what refers to an earlier
   response is refused by name.
2. `reasoning.effort` "none" switches thinking off, other efforts are `reasoning_effort`.
3. `allowed_tools` leaves out the other tools, since the chat format has no such choice.

Source: OpenAI API, "Create a model response"; the official service, `POST /responses`, "Thinking Mode".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abyssal.gateway.dialects.dialect import Reading
from abyssal.gateway.dialects.responses_input import messages_of
from abyssal.gateway.dialects.responses_request import (
    ResponsesRequest,
    TextFormat,
    Tool,
    ToolChoice,
    missing,
    parse_responses_request,
)
from abyssal.gateway.dialects.responses_writer import ResponseWriter
from abyssal.wire.errors import BadRequestError, ErrorBody, ErrorObject

_encode = msgspec.json.Encoder().encode

_SAME = ("temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias")
_LOGPROBS = "message.output_text.logprobs"

# What later stages and upstreams call what this format names otherwise.
_PARAMS = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "user_id": "safety_identifier",
    "logprobs": "top_logprobs",
}


class Responses:
    """The format of `POST /responses`. `now` gives Unix seconds: when an answer was complete."""

    id_field = b""

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self._now = now

    def read(self, body: bytes) -> Reading:
        """Read a request. Raises BadRequestError whose `param` is a path as the client wrote it."""
        request = parse_responses_request(body)
        return Reading(_encode(chat_fields(request)), ResponseWriter(request, body, self._now))

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """The error object, as everywhere; its `param` by this format's name."""
        return _encode(ErrorBody(renamed(error)))


def renamed(error: ErrorObject) -> ErrorObject:
    """`error` with a `param` that the client knows; an index into the messages is none of `input`."""
    param = error.param and _PARAMS.get(error.param.partition("[")[0].partition(".")[0])
    return msgspec.structs.replace(error, param=param) if param else error


def chat_fields(request: ResponsesRequest) -> dict[str, Any]:
    """The official chat request, ready for JSON. Raises BadRequestError."""
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": messages_of(request.instructions, request.input),
    }
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            fields[name] = value
    if request.stream:
        fields["stream"] = True
    if request.max_output_tokens is not None:
        fields["max_tokens"] = request.max_output_tokens
    user = request.safety_identifier or request.user
    if user:
        fields["user_id"] = user
    if request.top_logprobs or _LOGPROBS in (request.include or ()):
        fields["logprobs"] = True
        if request.top_logprobs is not None:
            fields["top_logprobs"] = request.top_logprobs
    _add_thinking(fields, request)
    if request.text is not None and request.text.format is not None:
        _add_format(fields, request.text.format)
    _add_tools(fields, request)
    return fields


def _add_thinking(fields: dict[str, Any], request: ResponsesRequest) -> None:
    effort = request.reasoning and request.reasoning.effort
    if effort == "none":
        fields["thinking"] = {"type": "disabled"}
    elif effort:
        fields["reasoning_effort"] = effort
    if request.thinking is not None:
        fields["thinking"] = request.thinking


def _add_format(fields: dict[str, Any], given: TextFormat) -> None:
    if given.type == "json_object":
        fields["response_format"] = {"type": "json_object"}
    elif given.type == "json_schema":
        schema: dict[str, Any] = {}
        for name in ("name", "description", "schema", "strict"):
            value = getattr(given, name)
            if value is not None:
                schema[name] = value
            elif name in ("name", "schema"):
                raise missing(f"text.format.{name}")
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}


def _add_tools(fields: dict[str, Any], request: ResponsesRequest) -> None:
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(request.tools or ())]
    choice = request.tool_choice
    if isinstance(choice, ToolChoice):
        if choice.type == "allowed_tools":
            tools, choice = _allowed(tools, choice), choice.mode or "auto"
        elif choice.type == "function":
            if choice.name is None:
                raise missing("tool_choice.name")
            choice = {"type": "function", "function": {"name": choice.name}}
        else:
            raise _unserved("tool_choice.type", choice.type)
    if tools:
        fields["tools"] = tools
        if request.parallel_tool_calls is not None:
            fields["parallel_tool_calls"] = request.parallel_tool_calls
    elif choice in ("auto", "none"):
        return  # several upstreams refuse a choice of nothing
    if choice is not None:
        fields["tool_choice"] = choice


def _tool(tool: Tool, where: str) -> dict[str, Any]:
    if tool.type != "function":
        raise _unserved(f"{where}.type", tool.type)
    if tool.name is None:
        raise missing(f"{where}.name")
    function: dict[str, Any] = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        value = getattr(tool, name)
        if value is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _allowed(tools: list[dict[str, Any]], choice: ToolChoice) -> list[dict[str, Any]]:
    names = {tool["function"]["name"] for tool in tools}
    allowed = {tool.name or f"a tool of type {tool.type}" for tool in choice.tools or ()}
    unknown = allowed - names
    if unknown or not allowed:
        found = ", ".join(f'"{name}"' for name in sorted(unknown)) or "nothing"
        raise BadRequestError(
            f'"tool_choice.tools" allows {found}; name functions that are in tools.',
            param="tool_choice.tools",
            code="invalid_value",
        )
    return [tool for tool in tools if tool["function"]["name"] in allowed]


def _unserved(where: str, kind: str) -> BadRequestError:
    return BadRequestError(
        f'"{where}": "{kind}" is not served here, only "function"; run other tools yourself as functions.',
        param=where,
        code="unsupported_value",
    )
