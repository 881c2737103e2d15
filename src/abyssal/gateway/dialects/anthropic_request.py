"""An Anthropic Messages request as the gateway reads it: types, ranges, and how a fault in them is put.

Unknown keys are passed over: what the published API has and nothing here can act on (`top_k`,
`budget_tokens`, `cache_control`, `service_tier`, `container`, betas) must not turn a client away. Of blocks,
which differ by `type`, every field is optional here; who reads a block asks for what it needs.

Source: Anthropic API, "Create a Message" and "Count tokens in a Message".
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from abyssal.wire.chat_request import MAX_TOKENS
from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import check_text

T = TypeVar("T")
JsonObject = dict[str, msgspec.Raw]


class Source(msgspec.Struct):
    """Where an image or a document comes from; `type`: base64, url, file, text or content."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """A content block of any `type`. A `source` that is a string belongs to a search result."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: JsonObject | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | JsonObject | None = None
    is_error: bool | None = None
    source: Source | str | None = None
    title: str | None = None


class Message(msgspec.Struct):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct):
    """A tool. One whose `type` is not `custom` is Anthropic's own and has no `input_schema`."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    type: str | None = None
    description: str | None = None
    input_schema: JsonObject | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct):
    """Whether a tool must be used, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """Whether the model thinks first."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]


class OutputFormat(msgspec.Struct):
    """What the answer's text must be."""

    type: Literal["json_schema"]
    schema: JsonObject


class OutputConfig(msgspec.Struct):
    """How much effort, and what form."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct):
    """Who stands behind the request."""

    user_id: Annotated[str, Meta(max_length=512)] | None = None


class Prompt(msgspec.Struct, kw_only=True):
    """What the model is given to read; the request of `count_tokens` is this and no more."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None


class MessagesRequest(Prompt, kw_only=True):
    """A whole request. Ranges of what keeps its name are the chat request's, and checked there."""

    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=16)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None


_request = msgspec.json.Decoder(MessagesRequest)
_prompt = msgspec.json.Decoder(Prompt)


def parse_request(body: bytes) -> MessagesRequest:
    """The request in `body` (JSON bytes). Raises BadRequestError whose `param` names the field."""
    return _parsed(_request, body)


def parse_prompt(body: bytes) -> Prompt:
    """What a request in `body` gives to read. Raises BadRequestError whose `param` names the field."""
    return _parsed(_prompt, body)


def wrong(path: str, problem: str, code: str = "invalid_value") -> BadRequestError:
    """The error for the field at `path`; `problem` says what is wrong with it and what to do."""
    return BadRequestError(f'"{path}": {problem}', param=path, code=code)


def missing(path: str) -> BadRequestError:
    """The error for a field that must be there."""
    return BadRequestError(f'"{path}" is missing; it is required.', param=path, code="missing_field")


def _parsed(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    check_text(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except msgspec.DecodeError as error:
        raise BadRequestError(
            f"The body is not JSON: {error}; send one JSON object.", code="invalid_json"
        ) from None


_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `([^`]+)`")


def _refuse(text: str) -> NoReturn:
    found = _PATH.match(text)
    problem, path = (found["problem"], found["path"] or "") if found else (text, "")
    absent = _FIELD.findall(problem)
    if "missing required" in problem and absent:
        raise missing(f"{path}.{absent[0]}" if path else absent[0]) from None
    if not path:
        raise BadRequestError(f"The body must be a JSON object: {problem}.", code="invalid_json") from None
    raise wrong(path, f"{problem[0].lower()}{problem[1:]}.") from None
