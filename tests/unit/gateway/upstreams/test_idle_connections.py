"""An idle upstream connection is let go before its server would end it."""

from __future__ import annotations

from tests.unit.gateway.stage import Stage


def test_a_connection_that_idles_is_cut_and_one_in_use_is_not(stage: Stage) -> None:
    stage.client().ask()
    stage.server.last.answer()
    first = stage.server.last
    for _ in range(3):
        stage.gateway.sweep()
    stage.client().ask()  # used again just in time
    assert stage.server.last is first
    for _ in range(6):
        stage.gateway.sweep()
    assert not first.closed, "it was at work"
    first.answer()
    for _ in range(4):
        stage.gateway.sweep()
    assert first.closed
    assert stage.gateway.upstreams["up"].pool.statistics() == (0, 0)
