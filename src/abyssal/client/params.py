"""What may be asked of a chat completion: the arguments of `chat.completions.create`, each with its meaning.

Source: DeepSeek API, "Create Chat Completion", and the platform's specification, section 2. Ranges are the
service's to check: it knows which model allows what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, Required, TypedDict

from abyssal.client.timeout import Timeout
from abyssal.wire.chat import Message

MessageParam = Message | Mapping[str, object]
"""One turn: `{"role": "system" | "user" | "assistant" | "tool", "content": ...}`, or a message that a model
said before (`response.choices[0].message`), which takes its `reasoning_content` and `tool_calls` along."""


class Thinking(TypedDict):
    """Whether the model thinks before it answers."""

    type: Literal["enabled", "disabled"]


class StreamOptions(TypedDict, total=False):
    """Only with `stream=True`."""

    include_usage: bool


class ChatOptions(TypedDict, total=False):
    """The arguments that sessions take too. What is left out, or None, is not sent: the service's default."""

    # Thinking.
    thinking: Thinking | None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"] | None

    # How much, and in which form.
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    response_format: Mapping[str, object] | None
    """`{"type": "json_object"}`; the prompt must then contain the word json."""
    stream_options: StreamOptions | None

    # Chance.
    temperature: float | None
    top_p: float | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None

    # Who asks, on whose behalf (isolates the context cache).
    user_id: str | None
    user: str | None

    # The platform's own.
    language: str | None
    """A BCP 47 tag; the answer is steered to that language."""
    context_window: int | None
    """Tokens of history that the model may see."""
    conversation_id: str | None
    """The gateway keeps the turns; send only the new one."""
    cache: bool | Mapping[str, object] | None
    experiment: str | None

    # Of this call, not of the request's body.
    extra_body: Mapping[str, object] | None
    """Further fields, or others in place of the above."""
    extra_headers: Mapping[str, str] | None
    timeout: Timeout | float | None
    """Limits in seconds; a number limits reads and the whole of a plain call. None: the client's."""


class ToolOptions(ChatOptions, total=False):
    """Those that `run_tools` takes too."""

    tool_choice: Literal["none", "auto", "required"] | Mapping[str, object] | None
    parallel_tool_calls: bool | None


class ChatParams(ToolOptions, total=False):
    """All arguments."""

    model: Required[str]
    messages: Required[Sequence[MessageParam]]
    n: int | None
    tools: Sequence[Mapping[str, object]] | None
    functions: Sequence[Mapping[str, object]] | None
    function_call: str | Mapping[str, object] | None


_KNOWN = frozenset(ChatParams.__annotations__)
_CALL_OPTIONS = ("extra_body", "extra_headers", "timeout")


def chat_body(params: ChatParams, *, stream: bool) -> dict[str, object]:
    """The request's body. Raises TypeError for arguments that do not exist, and for missing ones."""
    if not params.keys() <= _KNOWN:
        name = next(name for name in params if name not in _KNOWN)
        near = get_close_matches(name, _KNOWN, 1)
        hint = (
            f"did you mean {near[0]}?" if near else "fields that this SDK does not know go into extra_body."
        )
        raise TypeError(f"create() has no argument {name!r}; {hint}")
    body: dict[str, object] = {name: value for name, value in params.items() if value is not None}
    if "model" not in body or "messages" not in body:
        missing = " and ".join(name for name in ("model", "messages") if name not in body)
        raise TypeError(f"create() needs {missing}")
    for name in _CALL_OPTIONS:
        body.pop(name, None)
    extra = params.get("extra_body")
    if extra:
        if "stream" in extra:
            raise TypeError("extra_body cannot say stream; pass stream=True to create()")
        body.update(extra)
    if stream:
        body["stream"] = True
    return body
