"""What is said, as it rests: JSON, sealed under the master key when `encrypt_conversations` is on.

Either form is read, whatever the setting is now. A sealed value is bound to its organisation, table and row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from abyssal.stores.sealing import Place
from abyssal.stores.sql.conversations import ConversationRow
from abyssal.stores.sql.turns import TurnRow
from abyssal.stores.sql.vault import Vault

_encode = msgspec.json.Encoder().encode


class About(msgspec.Struct, frozen=True):
    """What a conversation is about: all of it that a person may have written."""

    title: str | None
    metadata: dict[str, str]
    messages: list[msgspec.Raw]


class Resting(NamedTuple):
    """The two columns: one has the content, the other None."""

    content: bytes | None
    sealed: bytes | None


class Contents:
    """Puts contents into rows of one organisation, asked for when something is sealed, and takes them out."""

    def __init__(self, vault: Vault, organization: Callable[[], str], *, encrypt: bool) -> None:
        self._vault, self._organization, self._encrypt = vault, cache(organization), encrypt

    def of_conversation(self, connection: Connection, conversation: str, about: About) -> Resting:
        """As the row of that conversation keeps it."""
        return self._put(connection, _encode(about), "conversations", conversation)

    def of_turn(self, connection: Connection, conversation: str, number: int, messages: bytes) -> Resting:
        """As the row of that turn keeps `messages`, a JSON array."""
        return self._put(connection, messages, "turns", f"{conversation}/{number}")

    def about(self, row: ConversationRow) -> About:
        """What a conversation is about. Raises SealError when it cannot be opened."""
        return _about.decode(self._take(row.content, row.sealed, "conversations", row.id))

    def messages(self, row: TurnRow) -> bytes:
        """A turn's messages, a JSON array. Raises SealError when they cannot be opened."""
        return self._take(row.content, row.sealed, "turns", f"{row.conversation_id}/{row.number}")

    def _put(self, connection: Connection, content: bytes, table: str, row: str) -> Resting:
        if not self._encrypt:
            return Resting(content, None)
        return Resting(None, self._vault.seal(connection, content, Place(self._organization(), table, row)))

    def _take(self, content: bytes | None, sealed: bytes | None, table: str, row: str) -> bytes:
        if sealed is not None:
            return self._vault.open(sealed, Place(self._organization(), table, row))
        assert content is not None
        return content


_about = msgspec.json.Decoder(About)
