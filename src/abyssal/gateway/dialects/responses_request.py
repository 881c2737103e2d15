"""The Responses request as the gateway reads it: types, ranges, and what is refused by name.

Only what is needed is decoded; other keys are passed over. What would silently mean something else here is
refused: a state that is kept nowhere, and tools that would run on the server. Source: OpenAI API,
"Create a model response"; the official service, `POST /responses`, which keeps nothing either.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from abyssal.wire.chat_request import MAX_TOKENS
from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import check_text

Name = Annotated[str, Meta(min_length=1, max_length=256)]
UserId = Annotated[str, Meta(max_length=512)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]


class Part(msgspec.Struct):
    """A piece of a message's content, of a tool's output, or of reasoning."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class Item(msgspec.Struct):
    """One item of `input`, whatever its type; without one it is a message."""

    type: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    summary: list[Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None


class Tool(msgspec.Struct):
    """A tool; of those that are functions, everything that the format knows."""

    type: str
    name: Name | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class AllowedTool(msgspec.Struct, omit_defaults=True):
    type: str
    name: str | None = None


class ToolChoice(msgspec.Struct, omit_defaults=True):
    """A named function, or (`allowed_tools`) some of the tools."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[AllowedTool] | None = None


class Reasoning(msgspec.Struct):
    effort: Effort | None = None


class TextFormat(msgspec.Struct, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Text(msgspec.Struct):
    format: TextFormat | None = None


class ResponsesRequest(msgspec.Struct):
    """What the gateway knows of a request. Fields typed Any are checked where they go, or refused."""

    model: Name
    input: str | Annotated[list[Item], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    store: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: Text | None = None
    metadata: dict[str, str] | None = None
    user: UserId | None = None
    safety_identifier: UserId | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    max_tool_calls: int | None = None
    prompt_cache_key: str | None = None
    # Of the chat format, for clients that send them beside: they mean the same here.
    thinking: Any = None
    stop: Any = None
    seed: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    # Refused when they say anything.
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    background: Any = None
    moderation: Any = None


ITEM_TYPES = ("message", "reasoning", "function_call", "function_call_output")
_STATE = "responses are not stored here; send the whole conversation as `input`"
_UNSERVED = {
    "previous_response_id": _STATE,
    "conversation": _STATE,
    "prompt": "prompt templates are not stored here; send `instructions` and `input`",
    "background": "a response is answered while you wait; remove it, or set stream: true for a long one",
    "moderation": "a response is not moderated on its way; remove it and ask the moderation route",
}
_decoder = msgspec.json.Decoder(ResponsesRequest)


class _Outline(msgspec.Struct):
    input: Any = None


_outline = msgspec.json.Decoder(_Outline)


def parse_responses_request(body: bytes) -> ResponsesRequest:
    """The request in `body` (JSON bytes). Raises BadRequestError whose `param` names the field."""
    check_text(body)
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _check_outline(body)
        _refuse(str(error))
    except msgspec.DecodeError as error:
        raise BadRequestError(
            f"The body is not JSON: {error}; send one JSON object.", code="invalid_json"
        ) from None
    for name, reason in _UNSERVED.items():
        value = getattr(request, name)
        if value is not None and value is not False:
            raise BadRequestError(f'"{name}": {reason}.', param=name, code="unsupported_parameter")
    return request


def check_item_type(kind: str, where: str) -> None:
    """Raise BadRequestError for an item's type that is not served; `where` is like `input[0]`."""
    if kind == "item_reference":
        raise BadRequestError(
            f'"{where}" refers to an item of an earlier response: {_STATE}.',
            param=where,
            code="unsupported_parameter",
        )
    if kind not in ITEM_TYPES:
        raise BadRequestError(
            f'"{where}.type": items of type "{kind}" are not served here, only {", ".join(ITEM_TYPES)}.',
            param=f"{where}.type",
            code="unsupported_value",
        )


def missing(path: str) -> BadRequestError:
    """The error for a field that has to be there; `path` is like `input[0].call_id`."""
    return BadRequestError(f'"{path}" is missing; it is required.', param=path, code="missing_field")


def _check_outline(body: bytes) -> None:
    """An item of an unserved type may have any shape: its type is the thing to complain of."""
    try:
        items = _outline.decode(body).input
    except msgspec.DecodeError:  # after the first thing that is wrong it need not even be JSON
        return
    if isinstance(items, list):
        for index, item in enumerate(items):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            kind = item.get("type") if isinstance(item, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if isinstance(kind, str):
                check_item_type(kind, f"input[{index}]")


_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `([^`]+)`")


def _refuse(text: str) -> NoReturn:
    found = _PATH.match(text)
    problem, path = (found["problem"], found["path"] or "") if found else (text, "")
    path = path.replace("[...]", "")  # a value under a key of the client's own: its object is the field
    if "missing required field" in problem:
        name = _FIELD.findall(problem)[0]
        raise missing(f"{path}.{name}" if path else name)
    if not path:
        raise BadRequestError(f"The body must be a JSON object: {problem}.", code="invalid_json")
    raise BadRequestError(f'"{path}": {problem[0].lower()}{problem[1:]}.', param=path, code="invalid_value")
