"""A whole text completion out of the chunks of a streamed one. Pure: chunks in, a completion out."""

from __future__ import annotations

import msgspec

from abyssal.client.reading import StreamForm
from abyssal.wire.chat import Usage
from abyssal.wire.completions import TextChoice, TextCompletion, TextLogprobs


class _Choice:
    """One choice so far."""

    __slots__ = ("finish_reason", "logprobs", "reasoning", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[TextLogprobs] = []
        self.finish_reason: str | None = None

    def choice(self, index: int) -> TextChoice:
        return TextChoice(
            text="".join(self.text),
            index=index,
            finish_reason=self.finish_reason,
            logprobs=_joined(self.logprobs) if self.logprobs else None,
            reasoning="".join(self.reasoning) or None,
        )


class TextAssembly:
    """Takes chunks in order; says at any time what the completion is so far."""

    __slots__ = ("_choices", "_conversation_id", "_fingerprint", "_first", "_usage")

    def __init__(self) -> None:
        self._first: TextCompletion | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._fingerprint: str | None = None
        self._conversation_id: str | None = None

    def add(self, chunk: TextCompletion) -> None:
        """One more chunk."""
        if self._first is None:
            self._first = chunk
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.system_fingerprint is not None:
            self._fingerprint = chunk.system_fingerprint
        if chunk.conversation_id is not None:
            self._conversation_id = chunk.conversation_id
        for piece in chunk.choices:
            choice = self._choices.get(piece.index)
            if choice is None:
                choice = self._choices[piece.index] = _Choice()
            choice.text.append(piece.text)
            if piece.reasoning is not None:
                choice.reasoning.append(piece.reasoning)
            if piece.logprobs is not None:
                choice.logprobs.append(piece.logprobs)
            if piece.finish_reason is not None:
                choice.finish_reason = piece.finish_reason

    @property
    def finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        choices = self._choices.values()
        return bool(choices) and all(choice.finish_reason is not None for choice in choices)

    def completion(self, request_id: str | None = None) -> TextCompletion:
        """What the chunks so far amount to."""
        first = self._first or TextCompletion()
        return TextCompletion(
            choices=[choice.choice(index) for index, choice in sorted(self._choices.items())],
            id=first.id,
            created=first.created,
            model=first.model,
            usage=self._usage,
            system_fingerprint=self._fingerprint,
            conversation_id=self._conversation_id,
            request_id=request_id,
        )


def _joined(parts: list[TextLogprobs]) -> TextLogprobs:
    rivals = [rival for part in parts for rival in part.top_logprobs or ()]
    return TextLogprobs(
        tokens=[token for part in parts for token in part.tokens],
        token_logprobs=[logprob for part in parts for logprob in part.token_logprobs],
        top_logprobs=rivals if any(part.top_logprobs is not None for part in parts) else None,
        text_offset=[offset for part in parts for offset in part.text_offset],
    )


TEXT_STREAM: StreamForm[TextCompletion, TextCompletion] = StreamForm(
    "text completion chunk", msgspec.json.Decoder(TextCompletion).decode, TextAssembly
)
