"""Replays in a crowd: eight copies of each of ten thousand signed requests, at four workers at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.system.identities import Identities

from abyssal.testing import RunningServer

COPIES, REQUESTS, CONNECTIONS, BATCH = 8, 10_000, 32, 50
TARGET = "/v1/models/abyssal-tiny"
LIMITS = "[identity]\nfailures_per_address = 1000000\nfailures_per_key = 1000000\n"


@pytest.fixture(params=["node", "redis"])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Identities]:
    """Four workers that share nonces through the control process, or through Redis."""
    config = "[server]\nworkers = 4\n" + LIMITS
    if request.param == "redis":
        config += f'[stores]\nredis_url = "{request.getfixturevalue("redis_url")}"\n'
    with RunningServer(config, tmp_path, workers=4) as server:
        yield Identities(server)


def requests(ours: Identities) -> list[bytes]:
    """Every request as often as it is sent, in no order."""
    found: list[bytes] = []
    for number in range(REQUESTS):
        headers = ours.signed("GET", TARGET, nonce=f"crowd-{number}")
        lines = [f"GET {TARGET} HTTP/1.1", f"Host: {ours.host}", *(f"{k}: {v}" for k, v in headers.items())]
        found += ["\r\n".join([*lines, "", ""]).encode()] * COPIES
    random.Random(7).shuffle(found)
    return found


async def statuses(url: str, sent: list[bytes]) -> dict[int, int]:
    """How often each status came when `sent` goes over many connections, `BATCH` at a time on each."""
    parts = urlsplit(url)
    counted: dict[int, int] = {}

    async def one(mine: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for at in range(0, len(mine), BATCH):
            batch = mine[at : at + BATCH]
            writer.write(b"".join(batch))
            for _ in batch:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                status = int(head[9:12])
                counted[status] = counted.get(status, 0) + 1
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*[one(sent[at::CONNECTIONS]) for at in range(CONNECTIONS)])
    return counted


def test_each_is_accepted_once(ours: Identities) -> None:
    counted = asyncio.run(statuses(ours.server.url, requests(ours)))
    assert counted == {200: REQUESTS, 401: REQUESTS * (COPIES - 1)}
