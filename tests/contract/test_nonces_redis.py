"""The store of nonces in Redis: shared, lost, silent, replaced, full. What all stores have is in `test_nonces`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import redis
from tests.contract.nonces import DOWN, FRESH, FULL, SECOND, SEEN, Asked, redis_nonces
from tests.services.redis import RedisServer

from abyssal.gateway.auth import nonce_redis
from abyssal.gateway.auth.nonce_redis import MOST_WAITING, PREFIX, RedisNonces
from abyssal.gateway.auth.nonces import Verdict


def test_two_workers_share_them(redis_url: str) -> None:
    async def work() -> None:
        async with redis_nonces(redis_url) as one, redis_nonces(redis_url) as other:
            now, own = 1_800_000_000 * SECOND, secrets.token_bytes(8)
            claims = [
                store.claim(own + b"%d" % n, now + 301 * SECOND, now)
                for n in range(500)
                for store in (one, other)
            ]
            verdicts = await asyncio.gather(*(claim for claim in claims if isinstance(claim, asyncio.Future)))
            assert Counter(verdicts) == {FRESH: 500, SEEN: 500}

    asyncio.run(work())


@pytest.mark.parametrize(("life", "seconds"), [(301, 361), (1, 61), (900, 960), (10**6, 960)])
def test_how_long_redis_keeps_them_and_what_it_sees(redis_url: str, life: int, seconds: int) -> None:
    async def work() -> None:
        async with redis_nonces(redis_url) as store:
            now, own = 1_800_000_000 * SECOND, secrets.token_bytes(8)
            with redis.Redis.from_url(redis_url) as client:
                before = set(client.keys(PREFIX + b"*"))
                await store.claim(b"sig_1\0" + own, now + life * SECOND, now)
                (key,) = set(client.keys(PREFIX + b"*")) - before
                assert 0 <= seconds * 1000 - client.pttl(key) < 5000
                assert len(client.get(key)) == 16
                assert len(key) == len(PREFIX) + 32
                assert b"sig_1" not in key

    asyncio.run(work())


def test_a_claim_that_nobody_waits_for_any_more_is_used_up(redis_url: str) -> None:
    async def work() -> None:
        async with redis_nonces(redis_url) as store:
            asked = Asked(store)
            left = asyncio.get_running_loop().create_task(asked.claim("a"))
            await asyncio.sleep(0)
            left.cancel()
            assert await asked.claim("b") is FRESH
            assert await asked.claim("a") is SEEN

    asyncio.run(work())


@pytest.mark.parametrize("address", ["nobody", "silent"])
def test_a_redis_that_does_not_answer(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Down within a second or so, for all that wait, with the reason in the log and not the password."""

    async def work() -> None:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if address == "nobody":
            server.close()
        loop = asyncio.get_running_loop()
        async with redis_nonces(f"redis://:hidden@127.0.0.1:{port}/0") as store:
            asked, begun = Asked(store), loop.time()
            verdicts = await asyncio.gather(*(asked.claim(str(n)) for n in range(2 * MOST_WAITING)))
            assert set(verdicts) == {DOWN}
            assert loop.time() - begun < 3
            assert await asked.claim("late") is DOWN
        assert await asked.claim("after its end") is DOWN
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()

    asyncio.run(work())
    assert "Redis does not answer" in caplog.text
    assert "hidden" not in caplog.text


def test_a_connection_that_ended_costs_no_request(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonce_redis, "TIMEOUT", 30.0)  # a busy machine is not what is tried here

    async def work() -> None:
        async with redis_nonces(redis_url) as store:
            asked = Asked(store)
            assert await asked.claim("a") is FRESH
            for nonce in "bcd":
                with redis.Redis.from_url(redis_url) as client:
                    client.client_kill_filter(_type="normal", skipme=True)
                assert await asked.claim(nonce) is FRESH
            assert [await asked.claim(nonce) for nonce in "abcd"] == [SEEN] * 4

    asyncio.run(work())


def test_an_answer_that_was_lost_is_asked_for_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the store and Redis something passes the questions on, and now and then hangs up instead of
    answering: the nonce is taken then, and it was this claim that took it."""
    monkeypatch.setattr(nonce_redis, "TIMEOUT", 30.0)  # a busy machine is not what is tried here
    host, _, port = redis_url.removeprefix("redis://").removesuffix("/0").partition(":")
    lost = 0

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection(host, int(port))
        asked = b""

        async def ask() -> None:
            nonlocal asked
            while question := await reader.read(65536):
                asked += question
                to_redis.write(question)

        async def answer() -> None:
            nonlocal lost
            while said := await from_redis.read(65536):
                if b"PX" in asked and not lost:
                    lost += 1
                    return
                writer.write(said)

        with closing(to_redis), closing(writer):
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(each()) for each in (ask, answer)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def work() -> None:
        server = await asyncio.start_server(between, "127.0.0.1", 0)
        address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with redis_nonces(address) as store, redis_nonces(redis_url) as other:
            now, own = 1_800_000_000 * SECOND, secrets.token_bytes(8)

            async def claim(asked: RedisNonces) -> Verdict:
                verdict = asked.claim(own, now + 301 * SECOND, now)
                return verdict if isinstance(verdict, Verdict) else await verdict

            assert await claim(store) is FRESH
            assert lost == 1
            assert (await claim(store), await claim(other)) == (SEEN, SEEN)
        server.close()

    asyncio.run(work())


def test_a_redis_that_became_a_replica(
    redis_server: RedisServer, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address leads to another server by then, as after a failover; the connection led to the old one."""
    monkeypatch.setattr(nonce_redis, "TIMEOUT", 30.0)  # a busy machine is not what is tried here
    other = RedisServer(tmp_path)
    other.start()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", port_of(targets[-1]))

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with closing(sink):
                while data := await source.read(65536):
                    sink.write(data)

        await asyncio.gather(pass_on(reader, to_redis), pass_on(from_redis, writer))

    targets = [redis_url]

    async def work() -> None:
        server = await asyncio.start_server(between, "127.0.0.1", 0)
        address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with redis_nonces(address) as store:
            asked = Asked(store)
            assert await asked.claim("a") is FRESH
            with redis.Redis.from_url(redis_url) as client:
                client.replicaof("127.0.0.1", port_of(other.url))
            targets.append(other.url)
            assert await asked.claim("b") is FRESH
            assert await asked.claim("b") is SEEN
        server.close()

    try:
        asyncio.run(work())
    finally:
        with redis.Redis.from_url(redis_url) as client:
            client.replicaof("NO", "ONE")
        other.stop()


def port_of(url: str) -> int:
    """The port in the address of a Redis."""
    return int(url.rpartition(":")[2].partition("/")[0])


def test_a_redis_without_room_and_one_that_evicts(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def claimed() -> Verdict:
        async with redis_nonces(redis_url) as store:
            return await Asked(store).claim("a")

    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get("maxmemory*")
        try:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            assert asyncio.run(claimed()) is FULL
            assert caplog.text == ""
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "volatile-lru")
            assert asyncio.run(claimed()) is FRESH
            assert caplog.text == ""
            client.config_set("maxmemory", 10**9)
            with caplog.at_level(logging.WARNING, "abyssal.gateway"):
                assert asyncio.run(claimed()) is FRESH
            assert "maxmemory-policy volatile-lru" in caplog.text
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                client.config_set(name, before[name])


def test_an_address_that_is_none() -> None:
    async def work() -> None:
        with pytest.raises(ValueError, match="redis://"):
            RedisNonces("http://localhost", loop=asyncio.get_running_loop())

    asyncio.run(work())
