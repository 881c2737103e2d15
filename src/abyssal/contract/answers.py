"""Answers that are written without a type of their own, as types: what the document says that they are.

A test holds real answers against them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from abyssal.gateway.dialects.responses_object import OutputItem
from abyssal.wire.errors import ErrorObject


class Alive(msgspec.Struct):
    """The worker lives."""

    status: Literal["ok"]


class TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class AnthropicOutputDetails(msgspec.Struct):
    thinking_tokens: int


class AnthropicUsage(msgspec.Struct):
    """In tokens. What came from the cache is counted apart from `input_tokens`."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: AnthropicOutputDetails | msgspec.UnsetType = msgspec.UNSET


class AnthropicAnswer(msgspec.Struct):
    """A whole answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextBlock | ThinkingBlock | ToolUseBlock]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"] | None
    stop_sequence: str | None
    usage: AnthropicUsage


class AnthropicEvent(msgspec.Struct):
    """An event of a stream; its other fields depend on its type."""

    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]


class TokenCount(msgspec.Struct):
    """An estimate."""

    input_tokens: int


class AnthropicErrorObject(msgspec.Struct):
    type: str
    message: str
    param: str | None
    code: str | int | None


class AnthropicErrorBody(msgspec.Struct):
    """Anthropic's error body, with the platform's `param` and `code` beside."""

    type: Literal["error"]
    error: AnthropicErrorObject


class ResponseError(msgspec.Struct):
    code: str
    message: str


class IncompleteDetails(msgspec.Struct):
    reason: str


class InputDetails(msgspec.Struct):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int


class ResponseUsage(msgspec.Struct):
    """In tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Response(msgspec.Struct):
    """A whole answer; what was asked is said back beside these fields."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    completed_at: int | None
    status: Literal["completed", "incomplete", "failed", "in_progress"]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    output: list[OutputItem]
    usage: ResponseUsage | None
    store: Literal[False]
    instructions: str | None
    metadata: dict[str, str]
    tools: list[dict[str, Any]]


class ResponseEvent(msgspec.Struct):
    """An event of a stream; its other fields depend on its type."""

    type: str
    sequence_number: int


class EmbeddingUsage(msgspec.Struct):
    """In tokens."""

    prompt_tokens: int
    total_tokens: int


class Vector(msgspec.Struct):
    """The vector of one input: numbers, or base64 of little-endian 32-bit floats where that was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Vectors(msgspec.Struct):
    """The vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[Vector]
    model: str
    usage: EmbeddingUsage


class OAuthErrorBody(msgspec.Struct):
    """RFC 6749 §5.2."""

    error: str
    error_description: str


class ServerMetadata(msgspec.Struct):
    """RFC 8414 §2."""

    issuer: str
    token_endpoint: str
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    scopes_supported: list[str]


class KeySet(msgspec.Struct):
    """RFC 7517 §5: public keys."""

    keys: list[dict[str, str]]


class OAuthForm(msgspec.Struct):
    """How a client proves itself, unless it does by HTTP Basic."""

    client_id: str | msgspec.UnsetType = msgspec.UNSET
    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class TokenForm(OAuthForm, kw_only=True):
    """A request for an access token (RFC 6749 §4.4)."""

    grant_type: Literal["client_credentials"]
    scope: str | msgspec.UnsetType = msgspec.UNSET


class AboutTokenForm(OAuthForm, kw_only=True):
    """A request about an access token."""

    token: str
    token_type_hint: str | msgspec.UnsetType = msgspec.UNSET


class SocketMessage(msgspec.Struct):
    """A text message of the server; which fields it has depends on the dialect."""

    type: str | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET
    finish_reason: str | msgspec.UnsetType = msgspec.UNSET
    error: ErrorObject | msgspec.UnsetType = msgspec.UNSET


class UploadForm(msgspec.Struct):
    """An upload. A type is told by the content, a name is kept without its directories."""

    file: Annotated[str, msgspec.Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})]
    purpose: Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"] = "user_data"
    expires_after_anchor: Literal["created_at"] | msgspec.UnsetType = msgspec.field(
        name="expires_after[anchor]", default=msgspec.UNSET
    )
    expires_after_seconds: Annotated[int, msgspec.Meta(ge=3600, le=2_592_000)] | msgspec.UnsetType = (
        msgspec.field(name="expires_after[seconds]", default=msgspec.UNSET)
    )
