"""One suite for every store of nonces: in memory, in memory with files, in Redis. Each nonce is good once."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.services.redis import RedisServer

from abyssal.gateway.auth import nonce_redis
from abyssal.gateway.auth.nonce_memory import MemoryNonces
from abyssal.gateway.auth.nonce_redis import MOST_WAITING, PREFIX, RedisNonces
from abyssal.gateway.auth.nonces import Nonces, Verdict
from abyssal.testing import ManualClock

SECOND = 10**9
FRESH, SEEN, STALE, FULL, DOWN = Verdict.FRESH, Verdict.SEEN, Verdict.STALE, Verdict.FULL, Verdict.DOWN


class Asked:
    """A store, and a clock that a test holds. Nonces are this test's own, since Redis is shared."""

    def __init__(self, store: Nonces) -> None:
        self.store = store
        self.clock = ManualClock()
        self._own = secrets.token_bytes(8)

    async def claim(self, nonce: str, life: float = 301) -> Verdict:
        """Claim a nonce that ends `life` seconds from now."""
        return await self.claim_until(nonce, self.clock.unix_ns() + int(life * SECOND))

    async def claim_until(self, nonce: str, until: int) -> Verdict:
        verdict = self.store.claim(self._own + nonce.encode(), until, self.clock.unix_ns())
        return verdict if isinstance(verdict, Verdict) else await verdict


@asynccontextmanager
async def redis_nonces(url: str) -> AsyncIterator[RedisNonces]:
    store = RedisNonces(url, loop=asyncio.get_running_loop())
    try:
        yield store
    finally:
        await store.aclose()


Opener = Callable[[], Any]


@pytest.fixture(params=["memory", "file", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens a store of each kind, to be used by `async with`."""
    kind = request.param
    url = request.getfixturevalue("redis_url") if kind == "redis" else ""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Asked]:
        if kind == "redis":
            async with redis_nonces(url) as store:
                yield Asked(store)
            return
        memory = MemoryNonces(tmp_path / "nonces" if kind == "file" else None, capacity=1_000_000)
        yield Asked(memory)
        memory.close()

    return opening


def on(opened: Opener, work: Callable[[Asked], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with opened() as asked:
            await work(asked)

    asyncio.run(whole())


def test_a_nonce_is_good_once(opened: Opener) -> None:
    async def work(asked: Asked) -> None:
        assert [await asked.claim(nonce) for nonce in ("a", "b", "a", "b", "a")] == [
            FRESH,
            FRESH,
            SEEN,
            SEEN,
            SEEN,
        ]

    on(opened, work)


def test_whatever_its_end_is(opened: Opener) -> None:
    async def work(asked: Asked) -> None:
        assert await asked.claim("a", 10) is FRESH
        assert await asked.claim("a", 600) is SEEN
        assert await asked.claim("a", 1) is SEEN

    on(opened, work)


def test_what_has_ended_is_stale(opened: Opener) -> None:
    async def work(asked: Asked) -> None:
        now = asked.clock.unix_ns()
        assert [await asked.claim_until("a", now + offset) for offset in (-SECOND, 0)] == [STALE, STALE]
        assert await asked.claim_until("a", now + SECOND) is FRESH

    on(opened, work)


def test_bytes_of_any_kind(opened: Opener) -> None:
    async def work(asked: Asked) -> None:
        nonces = ["", "\0", "\0\0", "\r\n", "\xff" * 400, "*3\r\n$3\r\nSET\r\n"]
        assert [await asked.claim(nonce) for nonce in nonces] == [FRESH] * len(nonces)
        assert [await asked.claim(nonce) for nonce in nonces] == [SEEN] * len(nonces)

    on(opened, work)


def test_eight_copies_each_of_ten_thousand_from_several_tasks(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonce_redis, "TIMEOUT", 30.0)  # a busy machine is not what is tried here

    async def work(asked: Asked) -> None:
        fresh: Counter[str] = Counter()

        async def sender(number: int) -> None:
            nonces = [str(n) for n in range(10_000)]
            random.Random(number).shuffle(nonces)
            for at in range(0, len(nonces), 50):  # fifty at once
                batch = nonces[at : at + 50]
                verdicts = await asyncio.gather(*(asked.claim(nonce) for nonce in batch))
                assert set(verdicts) <= {FRESH, SEEN}
                fresh.update(
                    nonce for nonce, verdict in zip(batch, verdicts, strict=True) if verdict is FRESH
                )

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(sender(number))
        assert len(fresh) == fresh.total() == 10_000

    on(opened, work)


def test_a_clock_that_jumps_gives_no_nonce_twice(opened: Opener) -> None:
    """Forth and back by hours, by seconds, at random: no claim that was taken is taken again."""

    async def work(asked: Asked) -> None:
        dice = random.Random(3)
        taken: set[str] = set()
        claims: list[tuple[str, int]] = []
        for n in range(3000):
            if dice.random() < 0.1:
                jump = dice.choice(
                    [-600, -61, -61, -5, -1, 1, 5, 61, 61, 600] + [-7200, 7200] * (n % 50 == 0)
                )
                asked.clock.set_unix(asked.clock.unix_ns() // SECOND + jump)
            else:
                asked.clock.advance(dice.random() * 20)
            if not claims or dice.random() < 0.5:
                claims.append((str(n), asked.clock.unix_ns() + dice.randrange(1, 602) * SECOND))
                nonce, until = claims[-1]
            else:
                nonce, until = dice.choice(claims[-200:])
            if await asked.claim_until(nonce, until) is FRESH:
                assert nonce not in taken, n
                taken.add(nonce)
        assert len(taken) > 100

    on(opened, work)


def test_a_clock_that_is_set_back_brings_nothing_back(opened: Opener) -> None:
    async def work(asked: Asked) -> None:
        start = asked.clock.unix_ns()
        assert await asked.claim("a") is FRESH
        asked.clock.advance(3600)
        assert await asked.claim("b") is FRESH
        asked.clock.set_unix(start // SECOND)
        assert await asked.claim("a") in (SEEN, STALE)
        assert await asked.claim("c", 0.5) is STALE
        asked.clock.set_unix(start // SECOND + 7200)
        assert await asked.claim("d") is FRESH

    on(opened, work)


# --- memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_full_refuses_and_forgets_nothing_that_is_live(tmp_path: Path, kind: str) -> None:
    store = MemoryNonces(tmp_path if kind == "file" else None, capacity=100)
    now = 1_800_000_000 * SECOND
    for n in range(100):
        assert store.claim(b"%d" % n, now + (10 + n) * SECOND, now) is FRESH
    assert store.claim(b"more", now + 10 * SECOND, now) is FULL
    assert all(store.claim(b"%d" % n, now + 600 * SECOND, now) is SEEN for n in range(100))
    now += 10 * SECOND  # the first has ended
    assert store.claim(b"more", now + 10 * SECOND, now) is FRESH
    assert store.claim(b"and more", now + 10 * SECOND, now) is FULL
    store.close()


KILLED = """
import sys
from pathlib import Path
from abyssal.gateway.auth.nonce_memory import MemoryNonces

store = MemoryNonces(Path(sys.argv[1]), capacity=1_000_000)
now = 1_800_000_000 * 10**9
for n in range(10**9):
    print(n, store.claim(b"%d" % n, now + 301 * 10**9, now).value, flush=True)
"""


def test_what_was_taken_is_known_after_kill_9(tmp_path: Path) -> None:
    """A process is killed while it takes nonces; whatever it said was fresh is not fresh again."""
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20_000)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        fresh = [line.split()[0] for line in lines if line.endswith(" fresh\n")]
        store = MemoryNonces(tmp_path, capacity=1_000_000)
        now = 1_800_000_000 * SECOND
        assert len(store) >= len(fresh)
        assert {store.claim(n.encode(), now + 301 * SECOND, now) for n in fresh or ["0"]} == {SEEN}
        store.close()


# --- Redis ----------------------------------------------------------------------------------------------


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
                await store.claim(b"sig_1\0" + own, now + life * SECOND, now)  # type: ignore[misc]
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
