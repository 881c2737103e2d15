"""The client leaves: the upstream is let go at once, and the call is settled with what was used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, chunk, completion
from tests.unit.gateway.stage import Client, Stage

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def connecting(stage: Stage) -> Client:
    stage.server.hangs = True
    return stage.client().ask()


def waiting(stage: Stage) -> Client:
    return stage.client().ask()


def half_a_head(stage: Stage) -> Client:
    client = stage.client().ask()
    stage.server.last.say(OK)
    return client


def half_an_answer(stage: Stage) -> Client:
    client = stage.client().ask()
    stage.server.last.say(OK + b"content-length: 99\r\n\r\n{")
    return client


def passing(stage: Stage) -> Client:
    client = stage.client().ask()
    stage.server.last.say(OK + b"content-length: 2000000\r\n\r\n" + b"x" * 1_000_000)
    assert len(client.bytes) > 500_000
    return client


def before_the_first_event(stage: Stage) -> Client:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream()
    return client


def after_a_comment(stage: Stage) -> Client:
    client = stage.client().ask(stream=True)
    stage.pass_time(16.0)
    return client


def in_a_stream(stage: Stage) -> Client:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk(), chunk(), chunk())
    return client


def while_not_reading(stage: Stage) -> Client:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    client.transport.stuck = True
    while server.transport.reading:
        server.stream(chunk("x" * 50_000))
    return client


def with_another_call_behind(stage: Stage) -> Client:
    return stage.client().send(chat() + chat())


MOMENTS: list[Callable[[Stage], Client]] = [
    connecting,
    waiting,
    half_a_head,
    half_an_answer,
    passing,
    before_the_first_event,
    after_a_comment,
    in_a_stream,
    while_not_reading,
    with_another_call_behind,
]


@pytest.mark.parametrize("moment", MOMENTS, ids=[moment.__name__ for moment in MOMENTS])
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_whenever_the_client_leaves(stage: Stage, moment: Callable[[Stage], Client], how: str) -> None:
    client = moment(stage)
    assert stage.settled == []
    getattr(client, how)()
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (499, "client_gone")
    assert settled.estimated
    assert settled.prompt_tokens > 0
    assert stage.gateway.caps.in_flight == stage.upstream.in_flight == 0
    assert all(connection.closed for connection in stage.server.connections)
    assert stage.upstream.pool.statistics() == (0, 0)


def test_tokens_of_what_was_streamed_are_estimated(stage: Stage) -> None:
    in_a_stream(stage).leave()
    assert stage.settled[0].completion_tokens == 3


def test_usage_that_was_reported_before_counts(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk(), LAST)
    client.leave()
    (settled,) = stage.settled
    assert (settled.status, settled.estimated) == (499, False)
    assert (settled.prompt_tokens, settled.completion_tokens) == (11, 5)


def test_leaving_after_done_is_no_leaving(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk(), LAST, DONE)
    client.leave()
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (200, "")


def test_leaving_after_the_answer_changes_nothing(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer()
    client.leave()
    assert [record.status for record in stage.settled] == [200]
    assert not stage.server.last.closed


def test_a_connection_made_for_a_client_that_left_serves_the_next_one(stage: Stage) -> None:
    dials: list[object] = []
    dial = stage.loop.dial

    async def slowly(factory: object, address: str) -> object:
        gate = stage.loop.create_future()
        dials.append(gate)
        await gate
        return await dial(factory, address)  # type: ignore[arg-type]

    stage.loop.dial = slowly
    stage.client().ask().leave()
    dials[0].set_result(None)  # type: ignore[attr-defined]
    stage.turn()
    assert stage.upstream.pool.statistics() == (1, 1)
    client = stage.client().ask()
    stage.server.last.answer()
    assert client.answer().status == 200
    assert len(stage.server.connections) == 1


def test_half_closing_is_leaving_even_if_something_is_still_to_be_read(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    client.transport.stuck = True
    stage.server.last.begin_stream().stream(chunk())
    client.leave()
    assert stage.server.last.closed
    assert stage.settled[0].status == 499
    stage.pass_time(61.0)
    assert client.transport.lost


def test_whatever_an_upstream_still_says_is_not_heard(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream().stream(chunk())
    client.leave()
    before = client.bytes
    server.transport.closing = False  # what was on its way when the connection was cut
    server.stream(chunk(), LAST, DONE).end_stream()
    server.transport.closing = True
    assert client.bytes == before
    assert len(stage.settled) == 1


def test_many_leavings_leave_nothing_behind(stage: Stage) -> None:
    for number in range(100):
        MOMENTS[1 + number % 7](stage).leave()
    assert len(stage.settled) == 100
    assert {record.status for record in stage.settled} == {499}
    assert not stage.gateway.front.connections
    assert stage.upstream.pool.statistics() == (0, 0)
    assert not stage.gateway._tasks
    client = stage.client().ask()
    stage.server.last.answer(completion("well"))
    assert client.answer().status == 200
