"""What workers ask the control process for a call in a conversation: topics and their messages (msgpack).

`open` takes the conversation for a call and gives what was said; `append` adds what the call said and gives
it back; `release` gives it back as it was. A call is named by its worker's writer and its own id.
"""

from __future__ import annotations

import msgspec

OPEN, APPEND, RELEASE = "conversations.open", "conversations.append", "conversations.release"

MOST_BYTES = 8 * 1024 * 1024
"""Of earlier turns that one call is given; what is older stays kept."""


class Open(msgspec.Struct, frozen=True):
    """Take the conversation. `wait`: whether to stand in line; `tokens`: how much of it is wanted at most."""

    project: str
    conversation: str
    writer: str
    call: str
    wait: bool
    tokens: int


class Opened(msgspec.Struct, frozen=True):
    """What was said: JSON arrays of messages, `opening` and one for each turn, oldest first.

    `whole` is False where older turns were left out.
    """

    opening: bytes
    turns: list[bytes]
    whole: bool


class Append(msgspec.Struct, frozen=True):
    """Add a turn.

    `messages` is a JSON array, `tokens` what they come to, `user` whose they are, if that is told.
    """

    project: str
    conversation: str
    writer: str
    call: str
    model: str
    messages: bytes
    tokens: int
    user: str | None


class Release(msgspec.Struct, frozen=True):
    """Nothing is added."""

    project: str
    conversation: str
    writer: str
    call: str
