"""Repair `empty_json`: a model in JSON mode that says nothing is asked once more.

Now and then the service answers JSON mode with empty content, or blanks, and means it ("stop"). An answer
that was cut, refused or calls a tool is not empty. A stream is held back until its first content.
Source: DeepSeek API, "JSON Output", and public issue trackers.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.repairs.events import payloads
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Delta, Message
from abyssal.wire.errors import ApiError

_completion = msgspec.json.Decoder(ChatCompletion)
_chunk = msgspec.json.Decoder(ChatCompletionChunk)


class EmptyJsonReview:
    """Judges one answer."""

    name = "empty_json"
    hopeless = False

    def __init__(self) -> None:
        self._empty = False

    def accepts(self, body: bytes) -> bool:
        """Whether some choice says something, or has a reason not to."""
        try:
            choices = _completion.decode(body).choices
        except msgspec.DecodeError:
            return True
        return not choices or not all(
            choice.finish_reason == "stop" and not _says(choice.message) for choice in choices
        )

    def seen_enough(self, events: bytes) -> bool:
        """Whether something was said."""
        for payload in payloads(events):
            try:
                choices = _chunk.decode(payload).choices
            except msgspec.DecodeError:
                return True
            for choice in choices:
                if _says(choice.delta) or choice.finish_reason not in (None, "stop"):
                    return True
                self._empty = self._empty or choice.finish_reason == "stop"
        return False

    def accepts_end(self) -> bool:
        """Whether it ended otherwise than by having nothing to say."""
        return not self._empty

    def refusal(self) -> ApiError | None:
        """None: an empty answer stands if it comes twice."""
        return None


def _says(said: Message | Delta) -> bool:
    return bool(said.content and said.content.strip()) or bool(said.tool_calls or said.function_call)
