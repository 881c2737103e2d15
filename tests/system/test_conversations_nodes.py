"""A conversation on two nodes with one PostgreSQL: one call at a time, also when a node dies in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream

from .calls import table, upstream
from .talking import begin, chat, said, turns

KEY = "sk-test-of-both-nodes-0123456789"


@pytest.fixture
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
def nodes(
    scripted: ScriptedUpstream, postgres_database: str, tmp_path: Path
) -> Iterator[tuple[RunningServer, RunningServer]]:
    config = (
        table("[stores]", database_url=postgres_database)
        + table("[identity.master_key]", file=str(tmp_path / "master.key"))
        + upstream("open", scripted.base_url)
    )
    environ = {"ABYSSAL_API_KEY": KEY}
    with (
        RunningServer(config, tmp_path / "a", environ=environ) as one,
        RunningServer(config, tmp_path / "b", environ=environ) as other,
    ):
        yield one, other


def test_they_take_turns_and_survive_each_other(
    nodes: tuple[RunningServer, RunningServer], scripted: ScriptedUpstream
) -> None:
    one, other = nodes
    conversation = begin(one)
    scripted.enqueue(Answer.chat_stream(["sl", "ow"], every=0.5))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(chat, one, conversation, "first", stream=True)
        scripted.wait_requests(1)
        scripted.enqueue(Answer.chat("quick"))
        assert chat(other, conversation, "second").status == 200
        assert first.result().status == 200
    expected = [said("first", "slow"), said("second", "quick")]
    assert turns(one, conversation) == turns(other, conversation) == expected
    scripted.enqueue(Answer.silence())
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(chat, one, conversation, "lost")
        scripted.wait_requests(3)
        one.kill()
        with suppress(Exception):  # nobody answers any more
            lost.result()
    scripted.enqueue(Answer.chat("alive"))
    assert chat(other, conversation, "third").status == 200  # when the lease has run out
    assert turns(other, conversation) == [*expected, said("third", "alive")]
