"""All of a project's conversations, or a person's, as JSON Lines: each conversation, then its turns.

Read in pages, each a transaction of its own: an export of any length holds no one up, and what is said while
it goes on may be in it or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

import msgspec

from abyssal.platform.conversations.objects import conversation_object, turn_object
from abyssal.platform.conversations.service import MOST_IN_A_PAGE, contents_of, person_of
from abyssal.platform.identity.transaction import Proof
from abyssal.platform.plane import ControlPlane
from abyssal.platform.tenant import TenantTransaction, tenant_transaction
from abyssal.stores.sql.columns import Position
from abyssal.stores.sql.conversations import ConversationRow, page_conversations
from abyssal.stores.sql.turns import TurnRow, page_turns, turns_within

_CONVERSATIONS, _TURNS = 100, 20  # in a page

_encode = msgspec.json.Encoder().encode


async def export_conversations(
    plane: ControlPlane, proof: Proof | None, query: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """Pieces of whole lines; the first is there, or what is wrong was raised, before any is to be sent."""
    user = person_of(query)
    after: Position | None = None
    while True:
        rows = await plane.run(partial(_conversations, plane, proof, user, after))
        for row, line in rows:
            yield line
            number = 0
            while found := await plane.run(partial(_turns, plane, proof, row, number)):
                number = found[-1][0].number
                yield b"".join(line for _, line in found)
        if len(rows) < _CONVERSATIONS:
            return
        last = rows[-1][0]
        after = (last.created_at, last.id)


def _conversations(
    plane: ControlPlane, proof: Proof | None, user: str | None, after: Position | None
) -> list[tuple[ConversationRow, bytes]]:
    with tenant_transaction(plane, proof, "chat", changes=False) as turn:
        rows = page_conversations(
            turn.connection,
            turn.caller.project,
            user=user,
            now_ns=turn.now_ns,
            after=after,
            count=_CONVERSATIONS,
        )
        contents = contents_of(turn)
        return [(row, _encode(conversation_object(row, contents)) + b"\n") for row in rows]


def _turns(
    plane: ControlPlane, proof: Proof | None, row: ConversationRow, after: int
) -> list[tuple[TurnRow, bytes]]:
    turn: TenantTransaction
    with tenant_transaction(plane, proof, "chat", changes=False) as turn:
        contents = contents_of(turn)
        fits = turns_within(turn.connection, row.id, after=after, count=_TURNS, most_bytes=MOST_IN_A_PAGE)
        found = page_turns(turn.connection, row.id, after=after, count=fits)
        return [(each, _encode(turn_object(each, contents)) + b"\n") for each in found]
