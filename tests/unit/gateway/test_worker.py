"""A worker drains: no new calls, those at work end, what was answered is read, and only then it stops."""

from __future__ import annotations

from typing import Any

import pytest

from abyssal.gateway.link import Drain, Gauges
from abyssal.gateway.worker import Worker

from .messages import chat, completion, get
from .stage import Stage


class Listener:
    """A listening socket, as far as a worker minds before it serves."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def worker(stage: Stage) -> Worker:
    listening: Any = Listener()
    worker = Worker(stage.loop, listening)
    worker._gateway = stage.gateway
    return worker


def drain(stage: Stage, worker: Worker, grace: float) -> None:
    worker._take(Drain(grace))
    stage.turn()


def test_an_idle_worker_stops_at_once(stage: Stage, worker: Worker) -> None:
    idle = stage.client().send(get("/healthz"))
    drain(stage, worker, 30.0)
    stage.pass_time(1.0)
    assert worker.stopped.is_set()
    assert idle.gone
    assert worker._listening.closed  # type: ignore[attr-defined]


def test_a_call_at_work_is_answered_first(stage: Stage, worker: Worker) -> None:
    client = stage.client().ask()
    drain(stage, worker, 30.0)
    stage.pass_time(10.0)
    assert not worker.stopped.is_set()
    assert stage.client().send(get("/readyz")).answer().status == 503
    assert stage.client().ask().answer().error["code"] == "shutting_down"
    stage.server.last.answer()
    assert client.answer().status == 200
    stage.pass_time(5.0)
    assert worker.stopped.is_set()


def test_an_answer_on_its_way_to_a_slow_reader_is_not_cut(stage: Stage, worker: Worker) -> None:
    client = stage.client()
    client.transport.stuck = True
    client.send(chat())
    stage.server.last.answer(completion("x" * 400_000))
    assert stage.settled[0].status == 200
    drain(stage, worker, 30.0)
    stage.pass_time(10.0)
    assert not worker.stopped.is_set()
    client.transport.unstick()
    assert client.answer().body == completion("x" * 400_000)
    stage.pass_time(5.0)
    assert worker.stopped.is_set()


def test_after_the_grace_what_is_left_is_cut_and_settled(stage: Stage, worker: Worker) -> None:
    client = stage.client().ask()
    drain(stage, worker, 3.0)
    stage.pass_time(2.5)
    assert not worker.stopped.is_set()
    stage.pass_time(2.0)
    assert worker.stopped.is_set()
    assert client.gone
    assert [record.status for record in stage.settled] == [499]


def test_the_end_of_the_link_is_the_end_of_the_worker(stage: Stage, worker: Worker) -> None:
    worker.link.connection_lost(None)
    stage.turn()
    stage.pass_time(1.0)
    assert worker.stopped.is_set()


def test_gauges_tell_the_moment(stage: Stage) -> None:
    assert stage.gateway.gauges() == Gauges(connections=0, calls=0, upstream_open=0, upstream_idle=0)
    client = stage.client().ask()
    stage.client()
    assert stage.gateway.gauges() == Gauges(connections=2, calls=1, upstream_open=1, upstream_idle=0)
    stage.server.last.answer()
    assert client.answer().status == 200
    assert stage.gateway.gauges() == Gauges(connections=2, calls=0, upstream_open=1, upstream_idle=1)
