"""Chat answers as typed values: what a client reads. Unknown fields are passed over, missing ones tolerated.

Source: DeepSeek API, "Create Chat Completion"; OpenAI's names where the two agree. Nothing here is ever
changed after it was decoded. A message may be sent back as it is: fields that are not set are left out
(`omit_defaults`, which never leaves out a default that a factory makes).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import field


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all values here can do."""

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and scalars, ready for `json.dumps`; fields that are not set are left out."""
        return msgspec.to_builtins(self)

    def to_json(self) -> bytes:
        """As UTF-8 JSON; fields that are not set are left out."""
        return msgspec.json.encode(self)


class PromptTokensDetails(Answer, frozen=True):
    """How the prompt's tokens were come by."""

    cached_tokens: int | None = None


class CompletionTokensDetails(Answer, frozen=True):
    """What the answer's tokens were spent on."""

    reasoning_tokens: int | None = None


class Usage(Answer, frozen=True):
    """Tokens used. `prompt_tokens` = cache hits + misses, where the service tells them apart."""

    prompt_tokens: int = field(default_factory=int)
    completion_tokens: int = field(default_factory=int)
    total_tokens: int = field(default_factory=int)
    prompt_cache_hit_tokens: int | None = None
    prompt_cache_miss_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class TopLogprob(Answer, frozen=True):
    """A token that might have been, and its log probability."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Answer, frozen=True):
    """A token, its log probability, and its rivals."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] | None = None


class Logprobs(Answer, frozen=True):
    """Log probabilities of a choice's tokens."""

    content: list[TokenLogprob] | None = None
    reasoning_content: list[TokenLogprob] | None = None


class FunctionCall(Answer, frozen=True):
    """A function to call. `arguments` is JSON text that a model wrote: it may be invalid."""

    name: str = field(default_factory=str)
    arguments: str = field(default_factory=str)


class ToolCall(Answer, frozen=True):
    """A call that the model wants made; answer it with a `tool` message that names `id`."""

    id: str = field(default_factory=str)
    function: FunctionCall = field(default_factory=FunctionCall)
    type: str = field(default_factory=lambda: "function")
    index: int | None = None


class Message(Answer, frozen=True):
    """What the model said. May be put into the next request's `messages` as it is."""

    role: str = field(default_factory=lambda: "assistant")
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class Choice(Answer, frozen=True):
    """One of the answers. `finish_reason`: stop, length, tool_calls, content_filter, aborted, ..."""

    message: Message = field(default_factory=Message)
    index: int = field(default_factory=int)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class ChatCompletion(Answer, frozen=True):
    """A whole answer. `request_id` comes from the answer's headers; name it when asking for help.

    `conversation_id` is that of the conversation which it is a turn of.
    """

    choices: list[Choice] = []
    id: str = ""
    object: str = field(default_factory=lambda: "chat.completion")
    created: int = 0
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    request_id: str | None = None
    conversation_id: str | None = None


class FunctionCallDelta(Answer, frozen=True, gc=False):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Answer, frozen=True, gc=False):
    """A piece of the tool call at `index`."""

    index: int | None = None
    id: str | None = None
    function: FunctionCallDelta | None = None
    type: str | None = None


class Delta(Answer, frozen=True, gc=False):
    """What a chunk adds to a message."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionCallDelta | None = None


class ChunkChoice(Answer, frozen=True, gc=False):
    """What a chunk adds to the choice at `index`."""

    delta: Delta = field(default_factory=Delta)
    index: int = field(default_factory=int)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class ChatCompletionChunk(Answer, frozen=True, gc=False):
    """One event of a streamed answer. `usage` rides on the last one, or on one without choices."""

    choices: list[ChunkChoice] = []
    id: str = ""
    object: str = field(default_factory=lambda: "chat.completion.chunk")
    created: int = 0
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None


class Model(Answer, frozen=True):
    """A model that may be asked for."""

    id: str
    object: str = field(default_factory=lambda: "model")
    owned_by: str | None = None
    created: int | None = None


class ModelList(Answer, frozen=True):
    """The models that the key may use; also an iterable of them."""

    data: list[Model]
    object: str = field(default_factory=lambda: "list")
    request_id: str | None = None

    def __iter__(self) -> Iterator[Model]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)
