"""What the fields of requests mean, and what types cannot say of bodies."""

from __future__ import annotations

from typing import Any

from abyssal.gateway.dialects import anthropic_request as anthropic
from abyssal.gateway.dialects.completions_request import CompletionRequest
from abyssal.gateway.dialects.responses_request import ResponsesRequest
from abyssal.platform.conversations.drafts import ConversationDraft
from abyssal.platform.identity import drafts
from abyssal.stores.rights import ROLES, SCOPES
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Model, ModelList
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.embedding_request import EmbeddingRequest

_SAMPLING = {
    "temperature": "How freely tokens are drawn: 0 is nearly always the likeliest.",
    "top_p": "Draw from the likeliest tokens that together have this share.",
    "stop": "End the answer before any of these texts; none of them is empty.",
}
_WHOSE = {
    "user_id": "The end user behind the request, so that an upstream can tell them apart.",
    "user": "The older name of `user_id`.",
}

_CHAT = {
    "model": "A name of the model table; `GET /v1/models` lists those that the credential may use.",
    "messages": "The conversation, oldest first.",
    "stream": "Answer as server-sent events.",
    "stream_options": "`include_usage`: a `usage` in every event. Only with `stream: true`.",
    "max_tokens": "The most tokens of the answer.",
    "max_completion_tokens": "The newer name of `max_tokens`.",
    "n": "How many answers.",
    "frequency_penalty": "Positive: tokens are less likely the more often they came.",
    "presence_penalty": "Positive: tokens that came are less likely.",
    "logprobs": "Give the log probability of each token.",
    "top_logprobs": "How many rivals of each token to name. Only with `logprobs: true`.",
    "logit_bias": "What to add to the likelihood of tokens, by token id.",
    "seed": "The same seed and request give the same answer, where the model can.",
    "thinking": "Whether the model thinks before it answers.",
    "reasoning_effort": "How long it thinks.",
    "response_format": "What the text has to be: any text, a JSON object, or JSON of a schema.",
    "tools": "Functions that the model may ask for, with names of their own.",
    "tool_choice": "Whether it must, or an object that names which one.",
    "functions": "The older form of `tools`.",
    "function_call": "The older form of `tool_choice`.",
    "parallel_tool_calls": "Whether one answer may ask for several functions.",
    "language": "A BCP 47 tag such as `zh-CN`: the language of the answer.",
    "context_window": "Tokens that the model may see; older turns are cut whole.",
    "conversation_id": "The conversation to go on with: `messages` has only what is new.",
    "cache": "Reserved: taken, without effect today, and never sent on.",
    "experiment": "Reserved: taken, without effect today, and never sent on.",
    **_SAMPLING,
    **_WHOSE,
}

_COMPLETION = {
    "prompt": "The text to go on from: a string, or a list of one.",
    "model": "A name of the model table; the text routes have a default.",
    "suffix": "The text that comes after what is to be filled in.",
    "echo": "Repeat the prompt before the answer.",
    "logprobs": "Give log probabilities, and how many rivals of each token.",
    "best_of": "Not served: leave it out, or say 1.",
}

_PROMPT = {
    "model": "A name of the model table; a `claude-…` name is answered by a DeepSeek model.",
    "messages": "The turns, oldest first. When the last is the assistant's, the answer goes on from it.",
    "system": "The system prompt.",
    "tools": "Tools with an `input_schema`.",
}

_ORGANIZATION = {
    "name": "What people call it.",
    "scopes": "The most that credentials below may do; null is no limit.",
    "models": "The models that they may use; null is all.",
    "networks": "The networks that they may come from, as CIDR; null is any.",
}
_CREDENTIAL = {
    "name": "What people call it.",
    "project": "Its project; absent: the caller's.",
    "user": "Whose it is; absent: a member's own, else nobody's (a service's).",
    "scopes": "What it may do; absent: what the caller may give.",
    "models": "The models that it may use; null is all of its project's.",
    "networks": "The networks that it may come from, as CIDR; null is any.",
    "expires_at": "When it ends; null is never.",
    "expires_in": "The same in seconds from now.",
    "public_key": "An Ed25519 key as PEM or base64.",
    "overlap": "Seconds for which the secret of before is good beside the new one.",
    "role": "`owner`, `admin`, `member` or `viewer`.",
    "email": "The person's address; who they are.",
    "organization": "Its organisation; absent: the caller's.",
}

FIELDS: dict[Any, dict[str, str]] = {
    ChatRequest: _CHAT,
    CompletionRequest: _COMPLETION,
    EmbeddingRequest: {
        "model": _CHAT["model"],
        "input": "A text, a list of texts, of tokens (one input), or of lists of tokens; up to 2048 inputs.",
        "dimensions": "Numbers in a vector; a longer one is cut and made a unit vector again.",
        "encoding_format": "Numbers, or base64 of little-endian float32.",
        "user": _CHAT["user"],
    },
    anthropic.Prompt: _PROMPT,
    anthropic.MessagesRequest: _PROMPT
    | {
        "max_tokens": _CHAT["max_tokens"],
        "stream": _CHAT["stream"],
        "stop_sequences": _CHAT["stop"],
        "tool_choice": "Whether a tool must be used, and which.",
        "thinking": _CHAT["thinking"],
        "output_config": "Effort, and the JSON schema of the answer.",
        "metadata": "`user_id`: the end user behind the request.",
        "temperature": _CHAT["temperature"],
        "top_p": _CHAT["top_p"],
    },
    ResponsesRequest: {
        "model": _CHAT["model"],
        "input": "A text, or the items of the whole conversation.",
        "instructions": "The system prompt.",
        "max_output_tokens": _CHAT["max_tokens"],
        "temperature": _CHAT["temperature"],
        "top_p": _CHAT["top_p"],
        "stream": _CHAT["stream"],
        "store": "Nothing is stored here, whatever it says.",
        "tools": "Functions; tools that would run on the server are refused.",
        "tool_choice": _CHAT["tool_choice"],
        "parallel_tool_calls": _CHAT["parallel_tool_calls"],
        "reasoning": "`effort`: how long the model thinks.",
        "text": "`format`: any text, a JSON object, or JSON of a schema.",
        "metadata": "Said back in the answer.",
        "user": _CHAT["user_id"],
        "safety_identifier": "Said back in the answer.",
        "top_logprobs": "How many rivals of each token to name.",
        "truncation": "Taken and not acted on.",
        "include": "`message.output_text.logprobs` asks for log probabilities.",
        "max_tool_calls": "Said back in the answer: no tool runs here.",
        "prompt_cache_key": "Said back in the answer.",
        "previous_response_id": "Not served: send the whole conversation as `input`.",
        "conversation": "Not served: send the whole conversation as `input`.",
        "prompt": "Not served: send `instructions` and `input`.",
        "background": "Not served: set `stream` for a long answer.",
        "moderation": "Not served.",
    },
    ConversationDraft: {
        "title": "What people call it.",
        "metadata": "Texts of your own, up to 16.",
        "user_id": "Whose it is: what is exported or deleted when that person asks.",
        "system_prompt": "A system message that stands before every call.",
        "messages": "What stands before every call: system messages, or a history to go on from.",
        "ttl": "Seconds after its last turn when it is gone; absent: the configured ones.",
    },
    drafts.OrganizationDraft: _ORGANIZATION,
    drafts.ProjectDraft: _ORGANIZATION | {"organization": _CREDENTIAL["organization"]},
    drafts.LimitsChange: _ORGANIZATION,
    drafts.MemberDraft: _CREDENTIAL | {"name": "The person's, where the platform does not know them yet."},
    drafts.MemberChange: _CREDENTIAL,
    drafts.CredentialDraft: _CREDENTIAL,
    drafts.PublicKeyDraft: _CREDENTIAL,
    drafts.CredentialChange: _CREDENTIAL,
    drafts.Rotation: _CREDENTIAL,
    drafts.PublicKeyRotation: _CREDENTIAL,
}
"""By type: what its fields mean. A type with loose fields falls back on the chat's words."""

LOOSE = frozenset({CompletionRequest, ResponsesRequest})
"""Types whose `Any` fields of the chat's names are checked as the chat's."""

REFUSED: dict[Any, tuple[str, ...]] = {
    ResponsesRequest: ("previous_response_id", "conversation", "prompt", "background", "moderation"),
}
"""Fields that may be there, and say nothing."""

ALWAYS: dict[Any, tuple[str, ...]] = {
    ChatCompletion: ("id", "choices", "created", "object", "model"),
    ChatCompletionChunk: ("id", "choices", "created", "object", "model"),
    Model: ("object",),
    ModelList: ("object",),
}
"""Fields of answers that are there, although the SDK, which has the type, gets by without."""

NAMES: dict[str, tuple[str, ...]] = {"scopes": SCOPES, "role": ROLES}
"""Fields of the management routes that are names from a list."""

HIDDEN: dict[Any, tuple[str, ...]] = {ChatCompletion: ("request_id",), ModelList: ("request_id",)}
"""What the SDK adds."""
