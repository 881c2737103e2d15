"""Reviews that must see the whole answer: a stream is put together, and judged at its end."""

from __future__ import annotations

import msgspec
from msgspec import field

from abyssal.gateway.repairs.events import payloads
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ApiError, BadRequestError, UpstreamBrokenError
from abyssal.wire.json_schema import SchemaTooCostlyError

_completion = msgspec.json.Decoder(ChatCompletion)
_chunk = msgspec.json.Decoder(ChatCompletionChunk)


class Said(msgspec.Struct):
    """What one choice said. `calls` are (name, arguments)."""

    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    finish_reason: str | None = None


class _Pieces:
    """A choice of a stream while it comes."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.calls: dict[int, tuple[list[str], list[str]]] = {}
        self.finish_reason: str | None = None

    def whole(self) -> Said:
        calls = [("".join(name), "".join(arguments)) for name, arguments in self.calls.values()]
        return Said("".join(self.content), calls, self.finish_reason)


class WholeAnswer:
    """Judges one answer by `conforms`. `where` is what the client asked for, as a path of its request."""

    name = ""
    where = ""

    def __init__(self) -> None:
        self._choices: dict[int, _Pieces] = {}
        self.hopeless = False

    def conforms(self, said: Said) -> bool:
        """Whether a choice is as it was asked for. May raise SchemaTooCostlyError."""
        raise NotImplementedError

    def accepts(self, body: bytes) -> bool:
        """Whether every choice of a whole answer is as it was asked for."""
        try:
            choices = _completion.decode(body).choices
        except msgspec.DecodeError:
            return False
        said = [
            Said(
                choice.message.content or "",
                [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()],
                choice.finish_reason,
            )
            for choice in choices
        ]
        return self._judged(said)

    def seen_enough(self, events: bytes) -> bool:
        """False: only the end tells."""
        for payload in payloads(events):
            try:
                choices = _chunk.decode(payload).choices
            except msgspec.DecodeError:
                continue
            for choice in choices:
                pieces = self._choices.setdefault(choice.index, _Pieces())
                pieces.content.append(choice.delta.content or "")
                for call in choice.delta.tool_calls or ():
                    name, arguments = pieces.calls.setdefault(call.index or 0, ([], []))
                    if call.function is not None:
                        name.append(call.function.name or "")
                        arguments.append(call.function.arguments or "")
                pieces.finish_reason = choice.finish_reason or pieces.finish_reason
        return False

    def accepts_end(self) -> bool:
        """Whether every choice of the stream is as it was asked for."""
        return self._judged([pieces.whole() for pieces in self._choices.values()])

    def refusal(self) -> ApiError | None:
        """What the client is told in place of an answer that is not as it was asked for."""
        if self.hopeless:
            return BadRequestError(
                f"{self.where}: it takes too long to check the answer against it; make it simpler.",
                param=self.where,
                code="unsupported_schema",
            )
        return UpstreamBrokenError(
            f"The model was asked again, and its answer does not conform to {self.where}; try once more, or "
            "make it simpler.",
            param=self.where,
            code="schema_not_met",
        )

    def _judged(self, choices: list[Said]) -> bool:
        try:
            return all(map(self.conforms, choices))
        except SchemaTooCostlyError:
            self.hopeless = True
            return False
