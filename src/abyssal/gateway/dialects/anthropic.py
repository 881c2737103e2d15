"""Anthropic Messages: `POST /anthropic/v1/messages`, read into a chat call and answered as Anthropic would.

Model names (DeepSeek API, "Anthropic API"): `claude-opus…` is `deepseek-v4-pro`, any other `claude-…` is
`deepseek-flash`; a name of the operator's own table is that model, whatever it begins with. Any other name
is 400 here, as it is at the official service.

Tools that Anthropic itself runs or defines (no `input_schema`) are passed over: no model here knows them.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from abyssal.gateway.dialects.anthropic_errors import error_by_status, written_error
from abyssal.gateway.dialects.anthropic_messages import Fields, chat_messages
from abyssal.gateway.dialects.anthropic_request import (
    MessagesRequest,
    Tool,
    ToolChoice,
    missing,
    parse_request,
    wrong,
)
from abyssal.gateway.dialects.anthropic_stream import MessageWriter
from abyssal.gateway.dialects.dialect import Reading
from abyssal.wire.errors import ErrorObject

PRO, FLASH = "deepseek-v4-pro", "deepseek-flash"

_encode = msgspec.json.Encoder().encode


class AnthropicMessages:
    """The dialect. `models` are the names of the model table, None when whoever routes is to judge them."""

    id_field = b"request-id"

    def __init__(self, models: Container[str] | None = None) -> None:
        self._models = models

    def read(self, body: bytes) -> Reading:
        """Read a Messages request (JSON bytes). Raises BadRequestError whose `param` names its field."""
        request = parse_request(body)
        return Reading(_encode(self._chat_fields(request)), MessageWriter(request.model))

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """An error as Anthropic's error body."""
        return written_error(error_by_status(status), error)

    def _chat_fields(self, request: MessagesRequest) -> Fields:
        fields: Fields = {
            "model": self._model(request.model),
            "messages": chat_messages(request),
            "max_tokens": request.max_tokens,
        }
        if request.stream:
            fields["stream"] = True
        if request.temperature is not None:
            fields["temperature"] = request.temperature
        if request.top_p is not None:
            fields["top_p"] = request.top_p
        if request.stop_sequences:
            fields["stop"] = request.stop_sequences
        if request.tools or request.tool_choice:
            _add_tools(fields, request.tools or [], request.tool_choice)
        if request.thinking is not None:
            off = request.thinking.type == "disabled"
            fields["thinking"] = {"type": "disabled" if off else "enabled"}
        config = request.output_config
        if config is not None:
            if config.effort is not None:
                fields["reasoning_effort"] = config.effort
            if config.format is not None:
                schema = {"name": "answer", "schema": config.format.schema, "strict": True}
                fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.metadata is not None and request.metadata.user_id:
            fields["user_id"] = request.metadata.user_id
        return fields

    def _model(self, name: str) -> str:
        models = self._models
        chosen = name
        if name.startswith("claude") and (models is None or name not in models):
            chosen = PRO if name.startswith("claude-opus") else FLASH
        if models is not None and chosen not in models:
            stands = "" if chosen is name else f', where it stands for "{chosen}"'
            problem = (
                f'there is no model "{name[:100]}" here{stands}; send a name that `GET /v1/models` lists.'
            )
            raise wrong("model", problem, "model_not_found")
        return chosen


def chat_tools(tools: list[Tool]) -> list[Fields]:
    """The tools as chat has them. Raises BadRequestError for one that is half there."""
    found: list[Fields] = []
    for at, tool in enumerate(tools):
        if tool.input_schema is None:
            if tool.type in (None, "custom"):
                raise missing(f"tools[{at}].input_schema")
            continue
        if tool.name is None:
            raise missing(f"tools[{at}].name")
        function: Fields = {"name": tool.name, "parameters": tool.input_schema}
        if tool.description is not None:
            function["description"] = tool.description
        if tool.strict is not None:
            function["strict"] = tool.strict
        found.append({"type": "function", "function": function})
    return found


def _add_tools(fields: Fields, tools: list[Tool], choice: ToolChoice | None) -> None:
    functions = chat_tools(tools)
    if functions:
        fields["tools"] = functions
    if choice is None:
        return
    kind = choice.type
    if kind == "tool" and choice.name is None:
        raise missing("tool_choice.name")
    if kind == "tool" and choice.name not in [tool.name for tool in tools]:
        raise wrong("tool_choice.name", f'no tool "{(choice.name or "")[:100]}" is in tools.')
    if kind in ("any", "tool") and not tools:
        raise wrong("tool_choice", f'"{kind}" asks for a tool, and there is none; send tools.')
    if not functions:  # nothing is left to choose from
        return
    if kind == "tool":
        mine = [tool.name for tool in tools if tool.input_schema is not None]
        fields["tool_choice"] = (
            {"type": "function", "function": {"name": choice.name}} if choice.name in mine else "auto"
        )
    else:
        fields["tool_choice"] = "required" if kind == "any" else kind
    if choice.disable_parallel_tool_use is not None and kind != "none":
        fields["parallel_tool_calls"] = not choice.disable_parallel_tool_use
