"""What may be asked of a chat completion: the arguments of `chat.completions.create`, each with its meaning.

And how arguments become the body of a request, for this route and for the others.

Source: DeepSeek API, "Create Chat Completion", and the platform's specification, section 2. Ranges are the
service's to check: it knows which model allows what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Literal, Required, TypedDict, cast

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


class CallOptions(TypedDict, total=False):
    """Of one call, not of its request's body."""

    extra_headers: Mapping[str, str] | None
    timeout: Timeout | float | None
    """Limits in seconds; a number limits reads and the whole of a plain call. None: the client's."""


class PageOptions(CallOptions, total=False):
    """Which page of a list."""

    limit: int | None
    """How many at most."""
    after: str | None
    """Those that come after this: a page's `next`, of files its `last_id`."""


class SamplingOptions(CallOptions, total=False):
    """What every call that makes text takes. What is left out, or None, is the service's default."""

    # Thinking.
    thinking: Thinking | None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"] | None

    # How much, and in which form.
    max_tokens: int | None
    stop: str | Sequence[str] | None
    stream_options: StreamOptions | None

    # Chance.
    temperature: float | None
    top_p: float | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None

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
    resumable: bool | None
    """Of a stream: when its connection is lost, it is asked for again and goes on where it was."""
    extra_body: Mapping[str, object] | None
    """Further fields of the body, or others in place of the above."""


class ChatOptions(SamplingOptions, total=False):
    """The arguments that sessions take too."""

    max_completion_tokens: int | None
    response_format: Mapping[str, object] | None
    """`{"type": "json_object"}`; the prompt must then contain the word json."""
    logprobs: bool | None
    top_logprobs: int | None


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


CALL_OPTIONS = frozenset({"extra_body", "extra_headers", "resumable", "timeout"})
"""The arguments that are no fields of a body."""

_CALL = frozenset(CallOptions.__annotations__)
_CHAT = frozenset(ChatParams.__annotations__)


def chat_body(params: ChatParams, *, stream: bool) -> dict[str, object]:
    """The request's body. Raises TypeError for arguments that do not exist, and for missing ones."""
    return request_body("create", params, _CHAT, ("model", "messages"), stream=stream)


def check_call_options(method: str, options: CallOptions) -> None:
    """Raises TypeError for an argument of `method` that is none of CallOptions."""
    request_body(method, options, _CALL, ())


def request_body(
    method: str,
    params: Mapping[str, object],
    known: Set[str],
    needed: Sequence[str],
    *,
    stream: bool = False,
) -> dict[str, object]:
    """The body that the arguments `params` of `method` mean; None is as if left out.

    Raises TypeError for an argument that is not `known`, and for one that is `needed` and missing.
    """
    if not params.keys() <= known:
        name = next(name for name in params if name not in known)
        near = get_close_matches(name, known, 1)
        hint = "fields that this SDK does not know go into extra_body."
        hint = f"did you mean {near[0]}?" if near else hint if "extra_body" in known else "leave it out."
        raise TypeError(f"{method}() has no argument {name!r}; {hint}")
    body = {name: value for name, value in params.items() if value is not None}
    missing = [name for name in needed if name not in body]
    if missing:
        raise TypeError(f"{method}() needs {' and '.join(missing)}")
    extra = params.get("extra_body")
    for name in CALL_OPTIONS:
        body.pop(name, None)
    if extra:
        fields = cast("Mapping[str, object]", extra)
        if "stream" in fields:
            raise TypeError(f"extra_body cannot say stream; pass stream=True to {method}()")
        body.update(fields)
    if stream:
        body["stream"] = True
    return body
