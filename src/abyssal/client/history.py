"""A conversation: which messages go with the next one, and what is remembered. No I/O.

Rules:
 1. A turn is what the user said and what the model answered. It is remembered when the answer is whole, both
    halves at once; a call that fails leaves nothing behind.
 2. At most `max_turns` turns are kept, the oldest go first, whole. The system prompt always stays.
 3. What the model thought (`reasoning_content`) is not sent back: without tools no service reads it again.
 4. An answer to a call that began before a `reset` is not remembered.
 5. Where the service keeps the turns, only the new message goes; here is remembered what was said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from abyssal.client.faults import OpenAICompatibilityError
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Usage
from abyssal.wire.errors import ConfigurationError

Said = str | Sequence[Mapping[str, object]]
"""A user's message: text, or the content parts of one (text, images, files)."""

_NOT_IN_SESSIONS = ("model", "messages", "n", "tools", "tool_choice", "functions", "function_call")


class Reply(msgspec.Struct, frozen=True):
    """What the model answered. `response` is the whole of it; as text the reply is its `content`."""

    content: str
    reasoning: str | None
    usage: Usage | None
    response: ChatCompletion

    def __str__(self) -> str:
        return self.content


class Piece(msgspec.Struct, frozen=True):
    """A piece of a streamed reply: of its `content`, of its `reasoning`, seldom of both."""

    content: str
    reasoning: str

    def __str__(self) -> str:
        return self.content


class Draft(NamedTuple):
    """A turn of which the first half is there."""

    messages: list[Mapping[str, object]]
    generation: int


class History:
    """The turns. Each method takes effect at once, also while another thread is in one."""

    __slots__ = ("_generation", "_kept_elsewhere", "_max_turns", "_system", "_turns")

    def __init__(
        self, system_prompt: str | None, max_turns: int | None, *, kept_elsewhere: bool = False
    ) -> None:
        if max_turns is not None and (isinstance(max_turns, bool) or max_turns < 0):
            raise ConfigurationError(f"max_turns={max_turns!r} must be 0 or more, or None to keep all turns.")
        self._system: list[Mapping[str, object]] = []
        if system_prompt:
            self._system = [{"role": "system", "content": system_prompt}]
        self._max_turns = max_turns
        self._kept_elsewhere = kept_elsewhere
        self._turns: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = ()
        self._generation = 0

    @property
    def turns(self) -> int:
        return len(self._turns)

    def messages(self) -> list[dict[str, object]]:
        """All that is kept, oldest first, as messages of a request. A copy."""
        return [dict(message) for message in self._all()]

    def draft(self, said: Said) -> Draft:
        """The messages of the next request."""
        if not isinstance(said, str | Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a message is text or a list of content parts, not {type(said).__name__}")
        before = () if self._kept_elsewhere else self._all()
        return Draft([*before, {"role": "user", "content": said}], self._generation)

    def remember(self, draft: Draft, completion: ChatCompletion) -> Reply:
        """The second half of `draft` has come. Raises OpenAICompatibilityError if it is none."""
        reply = reply_of(completion)
        if draft.generation == self._generation and self._max_turns != 0:
            turn = draft.messages[-1], {"role": "assistant", "content": reply.content}
            kept = (*self._turns, turn)
            self._turns = kept if self._max_turns is None else kept[-self._max_turns :]
        return reply

    def reset(self) -> None:
        """Forgets all turns; the system prompt stays."""
        self._generation += 1
        self._turns = ()

    def fork(self) -> History:
        """Another history that begins with these turns and goes its own way."""
        twin = History(None, self._max_turns)
        twin._system, twin._turns = self._system, self._turns
        return twin

    def _all(self) -> Iterable[Mapping[str, object]]:
        return [*self._system, *(message for turn in self._turns for message in turn)]


def reply_of(completion: ChatCompletion) -> Reply:
    """The first choice as a reply. Raises OpenAICompatibilityError if there is no choice."""
    if not completion.choices:
        raise OpenAICompatibilityError("The answer has no choices; nothing of it was remembered.")
    message = completion.choices[0].message
    return Reply(message.content or "", message.reasoning_content, completion.usage, completion)


def piece_of(chunk: ChatCompletionChunk) -> Piece | None:
    """The text in `chunk`; None if it has none."""
    for choice in chunk.choices:
        delta = choice.delta
        if choice.index == 0 and (delta.content or delta.reasoning_content):
            return Piece(delta.content or "", delta.reasoning_content or "")
    return None


def check_server_side(
    conversation_id: str | None, system_prompt: str | None, max_turns: int | None, *, server: bool
) -> bool:
    """Whether the service keeps the turns. Raises TypeError for arguments that do not go together."""
    if conversation_id is not None and system_prompt is not None:
        raise TypeError(
            "a conversation that was begun has its system prompt already; leave out system_prompt, or leave "
            "out conversation_id and pass server=True to begin another"
        )
    if not server and conversation_id is None:
        return False
    if max_turns is not None:
        raise TypeError(
            "max_turns is of sessions that the client keeps; the service has context_window= and ttl"
        )
    return True


def check_options(options: Mapping[str, object]) -> None:
    """Raises TypeError for arguments of a call that a session cannot take."""
    if options.get("conversation_id") is not None:
        raise TypeError("a session is in one conversation; pass conversation_id to create_session()")
    for name in _NOT_IN_SESSIONS:
        if name in options:
            raise TypeError(
                f"a session takes no {name}: it has one model and keeps the messages itself; for tools there "
                "is client.run_tools(), for everything else client.chat.completions.create()"
            )
