"""Text completions as typed values: what a client reads, whole or streamed. As `wire.chat`, in all things.

Source: DeepSeek API, "Create FIM Completion"; OpenAI's "Create completion" for the shape of `logprobs`; the
platform's specification, section 2, for the text routes.
"""

from __future__ import annotations

from msgspec import field

from abyssal.wire.chat import Answer, Usage


class TextLogprobs(Answer, frozen=True):
    """Log probabilities of a text's tokens, side by side; `text_offset` counts characters of the text."""

    tokens: list[str] = field(default_factory=list[str])
    token_logprobs: list[float | None] = field(default_factory=list[float | None])
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] = field(default_factory=list[int])


class TextChoice(Answer, frozen=True):
    """One of the texts, or what a chunk adds to it. `reasoning`: what the model thought, where it is told."""

    text: str = field(default_factory=str)
    index: int = field(default_factory=int)
    finish_reason: str | None = None
    logprobs: TextLogprobs | None = None
    reasoning: str | None = None


class TextCompletion(Answer, frozen=True):
    """A whole completion, or one event of a streamed one: the two have the same fields.

    `conversation_id` is there where the service keeps the turns; `request_id` is of the answer's headers.
    """

    choices: list[TextChoice] = field(default_factory=list[TextChoice])
    id: str = ""
    object: str = field(default_factory=lambda: "text_completion")
    created: int = 0
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    conversation_id: str | None = None
    request_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the first choice, "" if there is none."""
        return self.choices[0].text if self.choices else ""
