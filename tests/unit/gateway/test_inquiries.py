"""Questions to the control process: whole however they travel, answered once, never left open."""

from __future__ import annotations

import asyncio

import pytest

from abyssal.gateway.inquiries import Inquiries
from abyssal.gateway.link import Ask, Assembly, Told, in_pieces
from abyssal.wire.errors import ConflictError, UnavailableError


def test_long_ones_go_in_pieces_when_there_is_room() -> None:
    async def story() -> None:
        sent: list[Ask] = []
        room = asyncio.Event()

        async def wait_room() -> None:
            await room.wait()

        inquiries = Inquiries(sent.append, asyncio.get_running_loop(), wait_room)
        body = bytes(range(256)) * 1500  # three pieces
        long = inquiries.ask("t", body)
        await asyncio.sleep(0)
        short = inquiries.ask("t", b"short")  # it does not stand behind the long one
        assert [each.number for each in sent] == [1, 2]
        room.set()
        while sent[-1].number != 1 or sent[-1].more:
            await asyncio.sleep(0)
        assembly = Assembly()
        whole = [found for each in sent if (found := assembly.put(each)) is not None]
        assert [(each.number, each.body) for each in whole] == [(2, b"short"), (1, body)]
        for piece in in_pieces(Told(1, 200, body)):
            assert not long.done()
            inquiries.told(piece)
        inquiries.told(Told(2, 200, b""))
        assert (await long, await short) == (body, b"")

    asyncio.run(story())


def test_an_empty_one_is_one_piece() -> None:
    assert in_pieces(Ask(1, "t", b"")) == [Ask(1, "t", b"")]


def test_an_error_is_raised_as_it_was() -> None:
    async def story() -> None:
        inquiries = Inquiries(lambda _: None, asyncio.get_running_loop())
        answer = inquiries.ask("t", b"")
        fault = ConflictError("busy", code="conversation_busy", param="conversation_id")
        inquiries.told(Told(1, 409, fault.as_json()))
        with pytest.raises(ConflictError) as raised:
            await answer
        assert raised.value.as_json() == fault.as_json()
        assert raised.value.retry_after == 1

    asyncio.run(story())


def test_when_nobody_will_answer_any_more_all_are_told() -> None:
    async def story() -> None:
        inquiries = Inquiries(lambda _: None, asyncio.get_running_loop())
        answer = inquiries.ask("t", b"")
        inquiries.close()
        with pytest.raises(UnavailableError):
            await answer
        with pytest.raises(UnavailableError):
            inquiries.ask("t", b"")

    asyncio.run(story())
