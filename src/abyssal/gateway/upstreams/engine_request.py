"""What the embedded engine is asked: only what the chat specification knows, and nothing that can hurt it.

llama.cpp takes sampling internals, grammars and slot numbers in the same object, and splits text with
recursive regular expressions. So:

1. Only fields of the specification travel on.
2. A body too long for the context, a run of one kind of character that would exhaust a stack, JSON nested
   too deeply (in tool arguments too) and parts that are not text are refused with 400.
3. Schemas, of an answer or of a tool's parameters, are bounded (`engine_schema`).
4. `tool_choice` "none" drops the tools; a named function leaves only that one, and requires it;
   `thinking: disabled` reaches the chat template.

Source: docs/engine.md, "What the engine's wire looks like".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from abyssal.gateway.upstreams.engine_logprobs import fields_for
from abyssal.gateway.upstreams.engine_schema import check_engine_schema
from abyssal.wire.chat_request import AssistantMessage, ChatRequest
from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import nests_deeper_than

BYTES_PER_TOKEN = 32  # more than any tokenizer packs into one
LONGEST_RUN = 16_000  # characters
DEEPEST = 64

_KNOWN = frozenset(ChatRequest.__struct_fields__) - {"thinking", "user", "user_id"}
_RUN = re.compile(r"[^\W\d_]+|\d+|\s+|[^\w\s]+|_+")
_TOKEN = re.compile("[0-9]{1,9}")
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    function: _CalledFunction
    id: str | None = None


_call = msgspec.json.Decoder(_Call)


def check_for_engine(request: ChatRequest, body: bytes, context: int) -> None:
    """Raise BadRequestError for what would crash or stall the engine; `context` is in tokens."""
    if len(body) > context * BYTES_PER_TOKEN:
        raise BadRequestError(
            f"The request is {len(body)} bytes, far over the context of {context} tokens; send less.",
            param="messages",
            code="context_length_exceeded",
        )
    for index, message in enumerate(request.messages):
        where = f"messages[{index}]"
        if isinstance(message.content, list):
            for part in message.content:
                if part.type != "text":
                    raise BadRequestError(
                        f'{where}: this model takes text only, not "{part.type}" parts.',
                        param=f"{where}.content",
                        code="unsupported_content",
                    )
                if part.text is None:
                    raise BadRequestError(
                        f"{where}: a text part has no text; send {{type, text}}.",
                        param=f"{where}.content",
                        code="missing_field",
                    )
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls or ():
                _check_arguments(bytes(call), f"{where}.tool_calls")
    for token in request.logit_bias or ():
        if not _TOKEN.fullmatch(token):
            raise BadRequestError(
                f'logit_bias: "{token[:50]}" is no token id; keys are whole numbers.',
                param="logit_bias",
                code="invalid_value",
            )
    _check_schemas(request)
    choice = request.tool_choice
    if isinstance(choice, dict):
        _check_choice(choice, request)
    _check_depth(body, "the body")
    if len(body) >= LONGEST_RUN:
        check_runs(msgspec.json.decode(body), "messages")


def _check_choice(choice: dict[str, Any], request: ChatRequest) -> None:
    name = _named(choice)
    if not isinstance(name, str):
        problem = 'name a function, as in {"type": "function", "function": {"name": "…"}}'
    elif all(tool.function.name != name for tool in request.tools or ()):
        problem = f'no function "{name}" is in tools'
    else:
        return
    raise BadRequestError(f"tool_choice: {problem}.", param="tool_choice")


def _check_schemas(request: ChatRequest) -> None:
    form = request.response_format
    if form is not None and form.type == "json_schema":
        where = "response_format.json_schema.schema"
        schema = (form.json_schema or {}).get("schema")
        if schema is None:
            raise BadRequestError(f'"{where}" is missing; it is required.', param=where, code="missing_field")
        check_engine_schema(msgspec.json.decode(schema), where)
    for place, tool in enumerate(request.tools or ()):
        if tool.function.parameters:
            parameters = msgspec.json.decode(_encode(tool.function.parameters))
            check_engine_schema(parameters, f"tools[{place}].function.parameters")


def engine_body(request: ChatRequest, body: bytes, model: str) -> bytes:
    """The body for the engine, from the client's `body`; values that travel on keep their bytes."""
    fields: dict[str, Any] = {key: value for key, value in _top_level.decode(body).items() if key in _KNOWN}
    fields["model"] = model
    fields.update(fields_for(request))
    if request.stream:
        fields["stream_options"] = {"include_usage": True}
    if request.thinking is not None:
        fields["chat_template_kwargs"] = {"enable_thinking": request.thinking.type == "enabled"}
    choice = request.tool_choice
    if choice == "none":
        fields.pop("tools", None)
        fields.pop("tool_choice", None)
    elif isinstance(choice, dict) and request.tools:
        name = _named(choice)
        fields["tools"] = [tool for tool in _tools(fields["tools"]) if tool["function"]["name"] == name]
        fields["tool_choice"] = "required"
    elif request.tools and b"null" in bytes(fields["tools"]):
        fields["tools"] = _tools(fields["tools"])
    return _encode(fields)


def _named(choice: dict[str, Any]) -> Any:
    function = choice.get("function")
    return function.get("name") if isinstance(function, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def _tools(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """The tools without what is null in a function: the engine wants text there, or nothing."""
    tools: list[dict[str, Any]] = msgspec.json.decode(raw)
    for tool in tools:
        tool["function"] = {key: value for key, value in tool["function"].items() if value is not None}
    return tools


def _check_arguments(call: bytes, where: str) -> None:
    try:
        arguments = _call.decode(call).function.arguments
    except msgspec.ValidationError:
        raise BadRequestError(
            f"{where}: a call is {{id, type, function: {{name, arguments}}}}; check it.",
            param=where,
            code="invalid_value",
        ) from None
    _check_depth(arguments.encode(), where)
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        raise BadRequestError(
            f"{where}: function.arguments is not JSON.", param=where, code="invalid_value"
        ) from None


def _check_depth(text: bytes, where: str) -> None:
    if nests_deeper_than(text, DEEPEST):
        raise BadRequestError(
            f"{where} nests more than {DEEPEST} levels deep for this model; flatten it.",
            code="nested_too_deeply",
        )


def check_runs(value: Any, param: str) -> None:
    """Raise BadRequestError for a text in `value` (JSON) with a run that would exhaust a stack."""
    for text in _strings(value):
        if len(text) >= LONGEST_RUN:
            for run in _RUN.finditer(text):
                if run.end() - run.start() >= LONGEST_RUN:
                    raise BadRequestError(
                        f"A run of {run.end() - run.start()} characters of one kind is not text that this "
                        "model takes; break it up.",
                        param=param,
                        code="unsupported_content",
                    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _strings(key)
            yield from _strings(item)
