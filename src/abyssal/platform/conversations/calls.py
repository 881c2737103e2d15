"""What a call in a conversation needs of the control process: `open`, then `append` or `release`.

1. A call waits for the ones before it on this node (`ordering`), then for the lease in the database, which
   calls on other nodes take too; both together `wait` seconds at most. Then, and if it must not wait, 409.
2. The lease holds for `LEASE` seconds and is renewed while the call is at work. A worker's end gives its
   leases back; a node's end lets them run out.
3. A turn is added only by who has the lease still: whoever lost it is told so (409), and nothing is added. It
   is committed when `append` answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from sqlalchemy import Engine

from abyssal.platform.conversations.contents import Contents
from abyssal.platform.conversations.ordering import Holder, Place, busy
from abyssal.platform.conversations.service import no_conversation
from abyssal.platform.identity.ids import is_id
from abyssal.platform.plane import ControlPlane
from abyssal.stores.conversation_inquiries import MOST_BYTES, Append, Open, Opened, Release
from abyssal.stores.sql.conversations import (
    Lease,
    find_conversation,
    grow,
    organization_of,
    release_leases,
    renew_leases,
    take_lease,
)
from abyssal.stores.sql.turns import TurnRow, add_turn, newest_turns
from abyssal.wire.errors import ConflictError, UnavailableError

LEASE = 15.0  # seconds
_LOOK_AGAIN = 0.1  # seconds, while a call on another node has the lease
_PATIENCE = 10.0  # seconds for the database; less than workers have
_NS = 1_000_000_000

T = TypeVar("T")

_open = msgspec.msgpack.Decoder(Open)
_append = msgspec.msgpack.Decoder(Append)
_release = msgspec.msgpack.Decoder(Release)
_array = msgspec.json.Encoder().encode


async def open_conversation(body: bytes, plane: ControlPlane) -> bytes:
    """Take the conversation that an `Open` names; an `Opened`.

    Raises NotFoundError, ConflictError (`conversation_busy`), UnavailableError.
    """
    asked = _open.decode(body)
    if not is_id(asked.conversation):
        raise no_conversation()
    place, holder = Place(asked.project, asked.conversation), Holder(asked.writer, asked.call)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plane.conversations.wait
    turn = plane.ordering.enter(place, holder, wait=asked.wait)
    try:
        if turn is not None:
            async with asyncio.timeout_at(deadline):
                await turn
        while True:
            opened = await _in_time(plane, lambda: _take(plane, asked))
            if not plane.ordering.holds(place, holder):
                raise UnavailableError("The call that asked is over.")
            if opened is not None:
                return msgspec.msgpack.encode(opened)
            if not asked.wait or loop.time() >= deadline:
                raise busy()
            await asyncio.sleep(_LOOK_AGAIN)
    except TimeoutError:
        plane.ordering.leave(place, holder)
        raise busy() from None
    except BaseException:
        plane.ordering.leave(place, holder)
        raise


async def append_turn(body: bytes, plane: ControlPlane) -> bytes:
    """Add the turn that an `Append` brings, and give the conversation back; the turn's number as text.

    Raises ConflictError (`conversation_lost`), UnavailableError.
    """
    asked = _append.decode(body)
    try:
        return b"%d" % await plane.run(lambda: _add(plane, asked))
    finally:
        plane.ordering.leave(Place(asked.project, asked.conversation), Holder(asked.writer, asked.call))


async def release_conversation(body: bytes, plane: ControlPlane) -> bytes:
    """Give the conversation back; also one that is still waited for. Empty."""
    asked = _release.decode(body)
    place, holder = Place(asked.project, asked.conversation), Holder(asked.writer, asked.call)
    try:
        if plane.ordering.holds(place, holder):
            await plane.run(lambda: release(plane.engine, [(place, holder)]))
    finally:
        plane.ordering.leave(place, holder)
    return b""


async def _in_time(plane: ControlPlane, work: Callable[[], T]) -> T:
    """What `work` gives; UnavailableError after `_PATIENCE`. A lease taken later runs out by itself."""
    done = asyncio.get_running_loop().create_task(plane.run(work))
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.shield(done)
    except TimeoutError:
        done.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise UnavailableError(
            f"The conversation cannot be read now (the database did not answer within {_PATIENCE:g} s); try "
            "again shortly.",
            code="store_unavailable",
            retry_after=1,
        ) from None


def renew(engine: Engine, held: Iterable[tuple[Place, Holder]], *, now_ns: int) -> None:
    """Let the leases of calls at work run on, on the thread that SQL belongs to."""
    leases = [_lease(place, holder) for place, holder in held]
    with engine.begin() as connection:
        renew_leases(connection, leases, until_ns=now_ns + int(LEASE * _NS))


def release(engine: Engine, held: Iterable[tuple[Place, Holder]]) -> None:
    """Give leases back, on the thread that SQL belongs to."""
    leases = [_lease(place, holder) for place, holder in held]
    with engine.begin() as connection:
        release_leases(connection, leases)


def _lease(place: Place, holder: Holder) -> Lease:
    return Lease(place.conversation, f"{holder.writer}/{holder.call}")


def _take(plane: ControlPlane, asked: Open) -> Opened | None:
    """The lease and what was said; None while another call has the lease. NotFoundError without one."""
    now = plane.clock.unix_ns()
    lease = Lease(asked.conversation, f"{asked.writer}/{asked.call}")
    with plane.engine.begin() as connection:
        until = now + int(LEASE * _NS)
        taken = take_lease(connection, asked.project, lease, now_ns=now, until_ns=until)
        row = find_conversation(connection, asked.project, asked.conversation, now_ns=now)
        if row is None:
            raise no_conversation()
        if not taken:
            return None
        contents = Contents(plane.vault, lambda: organization_of(connection, asked.project), encrypt=False)
        found = newest_turns(connection, row.id, tokens=asked.tokens, most_bytes=MOST_BYTES)
        return Opened(
            _array(contents.about(row).messages),
            [contents.messages(each) for each in found],
            len(found) == row.turns,
        )


def _add(plane: ControlPlane, asked: Append) -> int:
    now = plane.clock.unix_ns()
    lease = Lease(asked.conversation, f"{asked.writer}/{asked.call}")
    with plane.engine.begin() as connection:
        row = grow(connection, asked.project, lease, user=asked.user, now_ns=now)
        if row is None:
            raise ConflictError(
                "The conversation was deleted, or another call took it over, while this one was at work; its "
                "turn is not kept. Look at the conversation, and ask again if it is still there.",
                param="conversation_id",
                code="conversation_lost",
            )
        contents = Contents(
            plane.vault,
            lambda: organization_of(connection, asked.project),
            encrypt=plane.conversations.encrypt_conversations,
        )
        content, sealed = contents.of_turn(connection, row.id, row.turns, asked.messages)
        add_turn(
            connection,
            TurnRow(row.id, row.turns, asked.call, asked.model, asked.tokens, content, sealed, now),
        )
        return row.turns
