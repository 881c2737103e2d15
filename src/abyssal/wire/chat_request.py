"""The chat request as the gateway reads it: types, ranges, and one sentence for each thing that is wrong.

Only what is needed to decide is decoded; the body itself travels on untouched. Source of the ranges:
DeepSeek API, "Create Chat Completion", and the platform's specification, section 2.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import KeyGuard
from abyssal.wire.json_body import decode_body, decode_own, decoded

MAX_TOKENS = 393_216
MIN_WINDOW = 16

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Stop = Annotated[str, Meta(min_length=1)]


class Part(msgspec.Struct):
    """One part of a content array; its own fields are the upstream's matter."""

    type: str
    text: str | None = None


Content = str | list[Part]


class SystemMessage(msgspec.Struct, tag_field="role", tag="system"):
    content: Content


class DeveloperMessage(msgspec.Struct, tag_field="role", tag="developer"):
    content: Content


class UserMessage(msgspec.Struct, tag_field="role", tag="user"):
    content: Content


class AssistantMessage(msgspec.Struct, tag_field="role", tag="assistant"):
    content: Content | None = None
    reasoning_content: str | None = None
    prefix: bool | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: Any = None


class ToolMessage(msgspec.Struct, tag_field="role", tag="tool"):
    content: Content
    tool_call_id: str


class FunctionMessage(msgspec.Struct, tag_field="role", tag="function"):
    name: str
    content: Content | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class Function(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: Literal["function"]  # no tag: a single struct's may be missing
    function: Function


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled"]


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, msgspec.Raw] | None = None


class ChatRequest(msgspec.Struct):
    """What the gateway knows of a chat request. Unknown keys are the upstream's matter."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    # The platform's own, which do not travel on; null is there to be taken out too.
    language: str | UnsetType | None = UNSET
    context_window: Annotated[int, Meta(ge=MIN_WINDOW)] | UnsetType | None = UNSET
    conversation_id: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    cache: bool | str | dict[str, msgspec.Raw] | UnsetType | None = UNSET
    experiment: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=16)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: int | None = None
    thinking: Thinking | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"] | None = (
        None
    )
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    functions: Annotated[list[Function], Meta(max_length=128)] | None = None
    function_call: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    user_id: Annotated[str, Meta(max_length=512)] | None = None
    user: str | None = None


class _Messages(msgspec.Struct):
    messages: list[Message]


_decoder = msgspec.json.Decoder(ChatRequest)
_messages = msgspec.json.Decoder(_Messages)
_guard = KeyGuard(ChatRequest.__struct_fields__)


def parse_chat_request(body: bytes) -> ChatRequest:
    """The request in `body` (JSON bytes).

    Raises BadRequestError whose `param` names the field. A body that passes is read the same by any
    other JSON parser: see `abyssal.wire.guard`.
    """
    return _checked(decode_body(body, _decoder, _guard))


def parse_own_chat_request(body: bytes) -> ChatRequest:
    """As `parse_chat_request`, for a body that a dialect wrote: no key is there twice, all of it is text."""
    return _checked(decode_own(body, _decoder))


def check_case(names: Collection[str]) -> None:
    """Raise BadRequestError when one of `names` is a field of a chat request but for letter case."""
    _guard.check_case(names)


def _checked(request: ChatRequest) -> ChatRequest:
    if request.stream_options is not None and not request.stream:
        raise BadRequestError(
            "stream_options is only allowed with stream: true; remove it or stream.", param="stream_options"
        )
    if request.top_logprobs is not None and not request.logprobs:
        raise BadRequestError(
            "top_logprobs needs logprobs: true; set it or remove top_logprobs.", param="top_logprobs"
        )
    if request.tools:
        names = [tool.function.name for tool in request.tools]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadRequestError(f'tools: the function name "{twice}" is there twice.', param="tools")
    return request


def check_messages(messages: bytes) -> None:
    """Raise BadRequestError unless `messages` (a JSON array) are those of a chat request, or none."""
    decoded(b'{"messages":%b}' % messages, _messages)


def reread_chat_request(body: bytes) -> ChatRequest:
    """The request in a `body` that was put together of what was checked before: a request and its history."""
    return _decoder.decode(body)
