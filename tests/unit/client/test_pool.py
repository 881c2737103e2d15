"""Connections: kept, counted, found stale, shared between threads and between event loops."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from abyssal import AsyncDeepSeekClient, DeepSeekClient, Timeout
from abyssal.client import defaults
from abyssal.client.transport import PoolTimeoutError

from .face import ASK, Face, opened_face
from .raw_server import DONE, STREAM_HEAD, Peer, RawServer, answer, chunk, completion, framed, stream

OK = answer(completion())
DIRECT = ["sync-direct", "async-direct"]


def test_connections_are_kept(server: RawServer, face: Face) -> None:
    server.will(OK)
    for _ in range(5):
        face.create()
    assert len(server.peers) == 1


@pytest.mark.parametrize("way", DIRECT)
def test_connections_are_kept_after_streams_and_errors(server: RawServer, face: Face) -> None:
    def late_end(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), DONE, end=False))
        peer.gone.wait(0.02)
        peer.send(b"0\r\n\r\n")

    server.will(stream(chunk("a"), DONE), late_end, answer(b"{}", 404), OK)
    assert face.texts(face.open()) == ["a"]
    assert face.texts(face.open()) == ["a"]
    if face.kind == "async":
        face.run(asyncio.sleep(0.05))  # the end is waited for in the background
    with pytest.raises(Exception, match="404"):
        face.create()
    face.create()
    assert len(server.peers) == 1


@pytest.mark.parametrize("way", DIRECT)
def test_a_stream_that_never_ends_after_done_is_not_waited_for(server: RawServer, face: Face) -> None:
    def no_end(peer: Peer) -> None:
        peer.send(STREAM_HEAD + framed(chunk("a"), DONE, end=False))
        peer.wait_until_gone()

    server.will(no_end, OK)
    assert face.texts(face.open()) == ["a"]
    face.run(asyncio.sleep(2 * defaults.DRAIN_TIMEOUT)) if face.kind == "async" else None
    assert server.peers[0].gone.wait(2)
    face.create()
    assert len(server.peers) == 2


@pytest.mark.parametrize("way", DIRECT)
@pytest.mark.parametrize("fault", ["close", "reset"])
def test_a_connection_closed_while_idle_is_not_used(server: RawServer, way: str, fault: str) -> None:
    def then_leave(peer: Peer) -> None:
        peer.send(OK)
        getattr(peer, fault)()
        left.set()

    left = threading.Event()
    server.will(then_leave, OK)
    with opened_face(way, server.url, max_retries=0) as face:
        face.create()
        assert left.wait(2)
        face.run(asyncio.sleep(0.02)) if face.kind == "async" else None
        face.create()
    assert len(server.peers) == 2


@pytest.mark.parametrize("way", DIRECT)
def test_an_answer_that_nobody_asked_for_is_nobodys_answer(server: RawServer, way: str) -> None:
    def twice(peer: Peer) -> None:
        peer.send(OK + answer(completion("smuggled")))

    server.will(twice, OK)
    with opened_face(way, server.url, max_retries=0) as face:
        assert face.create().choices[0].message.content == "Hello!"
        assert face.create().choices[0].message.content == "Hello!"
    assert len(server.peers) == 2


@pytest.mark.parametrize("way", DIRECT)
def test_no_free_connection_is_told_after_a_while(server: RawServer, way: str) -> None:
    server.will(lambda peer: peer.send(STREAM_HEAD + framed(chunk("a"), end=False)))
    with opened_face(way, server.url, pool_size=2) as face:
        held = [face.open(), face.open()]
        with pytest.raises(PoolTimeoutError, match=r"all 2 are in use.*pool_size"):
            face.create(timeout=Timeout(total=0.05))
        assert face.sleeps == []
        for one in held:
            face.close(one)
        server.will(OK)
        assert face.create().choices[0].message.content == "Hello!"


def test_threads_share_a_client(server: RawServer) -> None:
    server.will(OK)
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert client.chat.completions.create(**ASK).choices[0].message.content == "Hello!"
        except Exception as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    with DeepSeekClient("sk-x", base_url=server.url, pool_size=3) as client:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert failures == []
    assert len(server.requests) == 160
    assert len(server.peers) <= 3


def test_tasks_share_a_client_and_its_pool(server: RawServer) -> None:
    server.will(OK)

    async def main() -> list[Any]:
        async with AsyncDeepSeekClient("sk-x", base_url=server.url, pool_size=3) as client:
            return await asyncio.gather(*[client.chat.completions.create(**ASK) for _ in range(50)])

    assert len(asyncio.run(main())) == 50
    assert len(server.peers) == 3


def test_a_cancelled_wait_for_a_connection_loses_none(server: RawServer) -> None:
    release = threading.Event()

    def held(peer: Peer) -> None:
        release.wait(5)
        peer.send(OK)

    server.will(held, OK)

    async def main() -> None:
        async with AsyncDeepSeekClient("sk-x", base_url=server.url, pool_size=1) as client:
            first = asyncio.ensure_future(client.chat.completions.create(**ASK))  # noqa: TID251 - owned here
            await asyncio.sleep(0.05)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.chat.completions.create(**ASK), 0.02)
            release.set()
            await first
            await client.chat.completions.create(**ASK)

    asyncio.run(main())
    assert len(server.peers) == 1


def test_an_asyncio_client_serves_one_event_loop_after_another(server: RawServer) -> None:
    server.will(OK)
    client = AsyncDeepSeekClient("sk-x", base_url=server.url)

    async def main(last: bool) -> None:
        await client.chat.completions.create(**ASK)
        if last:
            await client.aclose()

    with asyncio.Runner() as one, asyncio.Runner() as other:
        one.run(main(False))
        other.run(main(False))
        one.run(main(False))
        assert len(server.peers) == 2
        other.run(main(True))
        one.run(asyncio.sleep(0))  # its connections are closed by itself, as only it may touch them
    assert len(server.requests) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_uses_no_connection_of_its_parent(server: RawServer) -> None:
    server.will(OK)
    client = DeepSeekClient("sk-x", base_url=server.url)
    client.chat.completions.create(**ASK)
    child = os.fork()
    if child == 0:
        try:
            client.chat.completions.create(**ASK)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    client.chat.completions.create(**ASK)
    client.close()
    assert len(server.peers) == 2


def test_a_client_that_was_dropped_leaves_nothing_open(server: RawServer) -> None:
    server.will(OK)
    client = DeepSeekClient("sk-x", base_url=server.url)
    client.chat.completions.create(**ASK)
    del client
    assert server.peers[0].gone.wait(2)
