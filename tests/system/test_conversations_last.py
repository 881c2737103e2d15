"""Conversations outlive what happens to processes: `kill -9`, lost workers, a database in somebody's hands; two at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream

from .calls import Gateway, events, table, upstream, wait_for
from .talking import begin, chat, said, send, turns


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """What is killed cannot remove its temporary files: they go where this fixture removes them."""
    with tempfile.TemporaryDirectory(prefix="abyssal-") as temporary, ScriptedUpstream() as scripted:
        config = table("[conversations]", encrypt_conversations=True, wait=20.0) + upstream(
            "open", scripted.base_url
        )
        data = tmp_path_factory.mktemp("lasting") / "data"
        with RunningServer(config, data, environ={"TMPDIR": temporary}, workers=2) as server:
            yield Gateway(server, scripted)


@pytest.fixture
def lasting(made: Gateway) -> Gateway:
    process = made.server.process
    if process is None or process.poll() is not None:
        made.server.start()
    return made


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_answered_is_there_after_kill_9(lasting: Gateway, stream: bool) -> None:
    conversation = begin(lasting.server)
    lasting.upstream.enqueue(Answer.chat_stream(["kept"]) if stream else Answer.chat("kept"))
    answer = chat(lasting.server, conversation, "keep this", stream=stream)
    lasting.server.kill()
    assert answer.status == 200
    assert not stream or events(answer.body)[-1] == b"[DONE]"
    lasting.server.start()
    assert turns(lasting.server, conversation) == [said("keep this", "kept")]
    lasting.upstream.enqueue(Answer.chat("still here"))
    assert chat(lasting.server, conversation, "and?").status == 200
    assert len(lasting.upstream.requests[-1].json()["messages"]) == 3


def test_two_at_once_on_two_workers_take_turns(lasting: Gateway) -> None:
    conversation = begin(lasting.server)
    questions = [f"question {number}" for number in range(8)]
    lasting.upstream.default = lambda request: Answer.chat(
        request.json()["messages"][-1]["content"].upper()
    ).delayed(0.02)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: chat(lasting.server, conversation, text), questions))
    assert {answer.status for answer in answers} == {200}
    kept = turns(lasting.server, conversation)
    assert sorted(turn[0]["content"] for turn in kept) == questions
    for turn in kept:
        assert turn[1]["content"] == turn[0]["content"].upper()
    seen = sorted(len(request.json()["messages"]) for request in lasting.upstream.requests[-8:])
    assert seen == [1, 3, 5, 7, 9, 11, 13, 15]  # each saw all before it


def test_who_must_not_wait_is_told_at_once(lasting: Gateway) -> None:
    conversation = begin(lasting.server)
    lasting.upstream.enqueue(Answer.chat_stream(["a", "b"], every=1.0))
    before = len(lasting.upstream.requests)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(chat, lasting.server, conversation, stream=True)
        lasting.upstream.wait_requests(before + 1)
        fields = {"model": "open", "messages": [{"role": "user", "content": "x"}]}
        path, asked = "/v1/chat/completions", {**fields, "conversation_id": conversation}
        second = send(lasting.server, "POST", path, asked, x_abyssal_conversation="no-wait")
        assert first.result().status == 200
    assert (second.status, json.loads(second.body)["error"]["code"]) == (409, "conversation_busy")
    assert second.header("retry-after") == "1"


def test_a_killed_worker_gives_its_conversations_back(lasting: Gateway) -> None:
    conversation = begin(lasting.server)
    lasting.upstream.enqueue(Answer.silence())
    before = len(lasting.upstream.requests)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat, lasting.server, conversation, "lost")
        lasting.upstream.wait_requests(before + 1)
        for worker in lasting.worker_pids():
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(Exception, match=r"."):
            first.result()
    wait_for(lambda: len(lasting.worker_pids()) == 2, "two new workers", 15)
    lasting.server.wait_ready(15)
    lasting.upstream.enqueue(Answer.chat("fine"))
    assert chat(lasting.server, conversation, "again").status == 200
    assert turns(lasting.server, conversation) == [said("again", "fine")]


def test_what_is_said_stands_nowhere_in_the_data(lasting: Gateway) -> None:
    conversation = begin(lasting.server, title="a-secret-title", system_prompt="a-secret-prompt")
    lasting.upstream.enqueue(Answer.chat("a-secret-answer"))
    assert chat(lasting.server, conversation, "a-secret-question").status == 200
    assert turns(lasting.server, conversation) == [said("a-secret-question", "a-secret-answer")]
    with closing(sqlite3.connect(lasting.server.data / "abyssal.db")) as database:
        assert database.execute("SELECT count(*) FROM turns").fetchone()[0] > 0
    for path in lasting.server.data.rglob("*"):
        if path.is_file():
            assert b"a-secret" not in Path(path).read_bytes(), path


def test_a_database_in_somebody_s_hands_stops_these_calls_alone(lasting: Gateway) -> None:
    conversation = begin(lasting.server)
    lasting.upstream.enqueue(*[Answer.chat("ok")] * 1)
    with closing(sqlite3.connect(lasting.server.data / "abyssal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(chat, lasting.server, conversation, "in between")
            fields = {"model": "open", "messages": [{"role": "user", "content": "meanwhile"}]}
            lasting.upstream.default = lambda _: Answer.chat("at once")
            answer = send(lasting.server, "POST", "/v1/chat/completions", fields)
            assert (answer.status, waiting.done()) == (200, False)
            refused = waiting.result(timeout=19)
        other.execute("ROLLBACK")
    error = json.loads(refused.body)["error"]
    assert (refused.status, error["code"]) == (503, "store_unavailable")
    assert refused.header("retry-after") == "1"
    assert wait_for(lambda: chat(lasting.server, conversation, "x").status == 200, "an answer", 40)
