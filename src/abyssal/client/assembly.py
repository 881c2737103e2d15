"""A whole chat completion out of the chunks of a streamed one. Pure: chunks in, a completion out."""

from __future__ import annotations

import msgspec

from abyssal.client.reading import StreamForm
from abyssal.wire.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    FunctionCall,
    FunctionCallDelta,
    Logprobs,
    Message,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)


class _Call:
    """A function call that is being told in pieces."""

    __slots__ = ("arguments", "id", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = "function"
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: FunctionCallDelta | None) -> None:
        if delta is not None:
            if delta.name:
                self.name = delta.name
            if delta.arguments:
                self.arguments.append(delta.arguments)

    def function(self) -> FunctionCall:
        return FunctionCall(self.name, "".join(self.arguments))


class _Choice:
    """One choice so far. None means that nothing of the kind has come, not even an empty piece."""

    __slots__ = ("calls", "content", "finish_reason", "function", "logprobs", "reasoning", "role", "said")

    def __init__(self) -> None:
        self.role = "assistant"
        self.content: list[str] | None = None
        self.reasoning: list[str] | None = None
        self.calls: dict[int, _Call] = {}
        self.function: _Call | None = None
        self.logprobs: list[TokenLogprob] | None = None
        self.said: list[TokenLogprob] | None = None  # log probabilities of the reasoning
        self.finish_reason: str | None = None

    def add(self, piece: ChunkChoice) -> None:
        delta = piece.delta
        if delta.content is not None:
            if self.content is None:
                self.content = []
            self.content.append(delta.content)
        if delta.reasoning_content is not None:
            if self.reasoning is None:
                self.reasoning = []
            self.reasoning.append(delta.reasoning_content)
        if delta.role:
            self.role = delta.role
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._add_call(call)
        if delta.function_call is not None:
            self.function = self.function or _Call()
            self.function.add(delta.function_call)
        if piece.logprobs is not None:
            if piece.logprobs.content is not None:
                self.logprobs = self.logprobs or []
                self.logprobs.extend(piece.logprobs.content)
            if piece.logprobs.reasoning_content is not None:
                self.said = self.said or []
                self.said.extend(piece.logprobs.reasoning_content)
        if piece.finish_reason is not None:
            self.finish_reason = piece.finish_reason

    def _add_call(self, delta: ToolCallDelta) -> None:
        # Some servers number no calls: then an id begins one, and what has none goes on with the last.
        index = delta.index
        if index is None:
            index = len(self.calls) if delta.id or not self.calls else max(self.calls)
        call = self.calls.setdefault(index, _Call())
        if delta.id:
            call.id = delta.id
        if delta.type:
            call.type = delta.type
        call.add(delta.function)

    def choice(self, index: int) -> Choice:
        calls = [
            ToolCall(id=call.id, function=call.function(), type=call.type, index=number)
            for number, call in sorted(self.calls.items())
        ]
        message = Message(
            role=self.role,
            content=None if self.content is None else "".join(self.content),
            reasoning_content=None if self.reasoning is None else "".join(self.reasoning),
            tool_calls=calls or None,
            function_call=self.function and self.function.function(),
        )
        any_logprobs = self.logprobs is not None or self.said is not None
        logprobs = Logprobs(self.logprobs, self.said) if any_logprobs else None
        return Choice(message=message, index=index, finish_reason=self.finish_reason, logprobs=logprobs)


class CompletionAssembly:
    """Takes chunks in order; says at any time what the completion is so far."""

    __slots__ = ("_choices", "_fingerprint", "_first", "_usage")

    def __init__(self) -> None:
        self._first: ChatCompletionChunk | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._fingerprint: str | None = None

    def add(self, chunk: ChatCompletionChunk) -> None:
        """One more chunk."""
        if self._first is None:
            self._first = chunk
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.system_fingerprint is not None:
            self._fingerprint = chunk.system_fingerprint
        for piece in chunk.choices:
            choice = self._choices.get(piece.index)
            if choice is None:
                choice = self._choices[piece.index] = _Choice()
            choice.add(piece)

    @property
    def finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        choices = self._choices.values()
        return bool(choices) and all(choice.finish_reason is not None for choice in choices)

    def completion(self, request_id: str | None = None) -> ChatCompletion:
        """What the chunks so far amount to."""
        first = self._first or ChatCompletionChunk()
        return ChatCompletion(
            choices=[choice.choice(index) for index, choice in sorted(self._choices.items())],
            id=first.id,
            created=first.created,
            model=first.model,
            usage=self._usage,
            system_fingerprint=self._fingerprint,
            request_id=request_id,
        )


CHAT_STREAM: StreamForm[ChatCompletionChunk, ChatCompletion] = StreamForm(
    "chat completion chunk", msgspec.json.Decoder(ChatCompletionChunk).decode, CompletionAssembly
)
