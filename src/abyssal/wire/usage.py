"""Token usage as upstreams report it, in the official style and in OpenAI's, read from an answer's end.

Source: DeepSeek API, "Create Chat Completion", `usage`; OpenAI's `prompt_tokens_details`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

# A number that no upstream can break the books with: not negative, and small enough for every store.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**48)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: Tokens | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Tokens | None = None


class TokenUsage(msgspec.Struct):
    """`usage` of an answer, in tokens; `estimated` where nobody counted them."""

    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    total_tokens: Tokens = 0
    prompt_cache_hit_tokens: Tokens | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    estimated: bool | None = None

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the upstream had in its cache."""
        if self.prompt_cache_hit_tokens is not None:
            return self.prompt_cache_hit_tokens
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def reasoning_tokens(self) -> int:
        """Completion tokens spent on reasoning."""
        return (self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0


def sum_of(usages: Sequence[TokenUsage | None]) -> TokenUsage | None:
    """What several attempts used together; None where the last one did not tell."""
    known = [usage for usage in usages if usage is not None]
    if len(usages) == 1 or not known or usages[-1] is None:
        return usages[-1] if usages else None
    return TokenUsage(
        sum(usage.prompt_tokens for usage in known),
        sum(usage.completion_tokens for usage in known),
        sum(usage.total_tokens for usage in known),
        sum(usage.cached_tokens for usage in known),
        None,
        _CompletionDetails(sum(usage.reasoning_tokens for usage in known)),
        any(usage.estimated for usage in known),
    )


class _Answer(msgspec.Struct):
    usage: TokenUsage | None = None


_answer = msgspec.json.Decoder(_Answer)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def usage_of_answer(body: bytes) -> TokenUsage | None:
    """`usage` of a whole answer, None when there is none or it makes no sense.

    Raises msgspec.DecodeError when `body` is not a JSON object.
    """
    try:
        return _answer.decode(body).usage
    except msgspec.ValidationError:
        _object.decode(body)
        return None


def usage_of_events(events: bytes) -> TokenUsage | None:
    """`usage` of the last event in `events` (SSE bytes) that has one; None when none has."""
    for line in reversed(events.splitlines()):
        if line.startswith(b"data:") and b'"usage"' in line:
            try:
                found = _answer.decode(line[5:]).usage
            except msgspec.DecodeError:
                continue
            if found is not None:
                return found
    return None
