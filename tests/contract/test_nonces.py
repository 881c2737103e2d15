"""One suite for every store of nonces: in memory, in memory with files, in Redis. Each nonce is good once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contract.nonces import FRESH, FULL, SECOND, SEEN, STALE, Asked, redis_nonces

from abyssal.gateway.auth import nonce_redis
from abyssal.gateway.auth.nonce_memory import MemoryNonces

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
