"""Many callers and one token: one fetch at a time, whoever they are and whatever becomes of the first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from abyssal import ApiTimeoutError, AsyncDeepSeekClient, AuthenticationError, DeepSeekClient, Timeout
from abyssal.client.direct_sync import DirectTransport

from .face import ASK
from .raw_server import Peer, RawServer, answer, completion, error_body

OK = answer(completion())
TOKEN = answer(b'{"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}')
REFUSED = answer(error_body("no such client"), 401)
PROOF = {"client_id": "client_1", "client_secret": "cs_1"}


class Gate:
    """Lets the token endpoint answer when the test says so."""

    def __init__(self, server: RawServer, *, then: bytes = TOKEN) -> None:
        self.asked = threading.Event()
        self.open = threading.Event()
        server.will(self._answer(then), OK)

    def _answer(self, then: bytes) -> Callable[[Peer], None]:
        def hold(peer: Peer) -> None:
            self.asked.set()
            assert self.open.wait(5)
            peer.send(then)

        return hold


def fetches(server: RawServer) -> int:
    return sum(one.target == "/oauth/token" for one in server.requests)


def wait_until(ready: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if ready():
            return
        waiting.wait(0.01)
    raise TimeoutError


def test_threads(server: RawServer) -> None:
    gate = Gate(server)
    with DeepSeekClient(**PROOF, base_url=server.url, pool_size=20) as client:  # type: ignore[arg-type]
        threads = [threading.Thread(target=lambda: client.chat.completions.create(**ASK)) for _ in range(12)]
        for thread in threads:
            thread.start()
        fetching = client._caller.core.prover.fetching  # type: ignore[union-attr]
        wait_until(lambda: len(fetching._waiting) == 11)
        gate.open.set()
        for thread in threads:
            thread.join(5)
    assert fetches(server) == 1
    assert len(server.requests) == 13


def test_tasks(server: RawServer) -> None:
    gate = Gate(server)

    async def main() -> None:
        async with AsyncDeepSeekClient(**PROOF, base_url=server.url, pool_size=20) as client:  # type: ignore[arg-type]
            calls = [asyncio.ensure_future(client.chat.completions.create(**ASK)) for _ in range(12)]  # noqa: TID251
            await asyncio.to_thread(gate.asked.wait, 5)
            gate.open.set()
            await asyncio.gather(*calls)

    asyncio.run(main())
    assert fetches(server) == 1
    assert len(server.requests) == 13


def test_tasks_of_two_event_loops(server: RawServer) -> None:
    gate = Gate(server)
    client = AsyncDeepSeekClient(**PROOF, base_url=server.url)  # type: ignore[arg-type]

    async def main() -> None:
        await client.chat.completions.create(**ASK)
        await client.aclose()

    first, second = (threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2))
    first.start()
    assert gate.asked.wait(5)
    second.start()
    wait_until(lambda: len(client._caller.core.prover.fetching._waiting) == 1)  # type: ignore[union-attr]
    gate.open.set()
    first.join(5)
    second.join(5)
    assert fetches(server) == 1


def test_when_the_one_who_fetches_is_cancelled_the_next_does(server: RawServer) -> None:
    gate = Gate(server)

    async def main() -> None:
        async with AsyncDeepSeekClient(**PROOF, base_url=server.url, pool_size=4) as client:  # type: ignore[arg-type]
            loop = asyncio.get_running_loop()
            first = loop.create_task(client.chat.completions.create(**ASK))
            await asyncio.to_thread(gate.asked.wait, 5)
            server.replies[1:] = [TOKEN, OK]
            second = loop.create_task(client.chat.completions.create(**ASK))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).choices[0].message.content == "Hello!"
            assert first.cancelled()
            gate.open.set()

    asyncio.run(main())
    assert fetches(server) == 2


def test_a_refusal_is_everybodys_after_one_question(server: RawServer) -> None:
    gate = Gate(server, then=REFUSED)
    errors: list[BaseException] = []
    with DeepSeekClient(**PROOF, base_url=server.url, pool_size=20) as client:  # type: ignore[arg-type]

        def ask() -> None:
            try:
                client.chat.completions.create(**ASK)
            except AuthenticationError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(client._caller.core.prover.fetching._waiting) == 7)  # type: ignore[union-attr]
        gate.open.set()
        for thread in threads:
            thread.join(5)
    assert len(errors) == 8
    assert len({id(error) for error in errors}) == 8
    assert len(server.requests) == 1


def test_who_waits_does_so_within_their_own_time(server: RawServer) -> None:
    gate = Gate(server)

    async def later(client: AsyncDeepSeekClient) -> None:
        loop = asyncio.get_running_loop()
        first = loop.create_task(client.chat.completions.create(**ASK))
        await asyncio.to_thread(gate.asked.wait, 5)
        with pytest.raises(ApiTimeoutError, match="access token"):
            await client.chat.completions.create(**ASK, timeout=Timeout(total=0.05))
        gate.open.set()
        await first
        await client.aclose()

    asyncio.run(later(AsyncDeepSeekClient(**PROOF, base_url=server.url, max_retries=0)))  # type: ignore[arg-type]
    server.requests.clear()
    gate = Gate(server)
    with DeepSeekClient(**PROOF, base_url=server.url, max_retries=0) as client:  # type: ignore[arg-type]
        first = threading.Thread(target=lambda: client.chat.completions.create(**ASK))
        first.start()
        assert gate.asked.wait(5)
        with pytest.raises(ApiTimeoutError, match="access token"):
            client.chat.completions.create(**ASK, timeout=Timeout(total=0.05))
        gate.open.set()
        first.join(5)
    assert fetches(server) == 1


def test_ctrl_c_in_a_fetch_leaves_it_to_the_next_call(server: RawServer) -> None:
    class Interrupted(DirectTransport):
        stop = True

        def send(self, request):  # type: ignore[no-untyped-def]
            if self.stop:
                self.stop = False
                raise KeyboardInterrupt
            return super().send(request)

    from abyssal.client.settings import parse_base_url

    server.will(TOKEN, OK)
    transport = Interrupted(parse_base_url(server.url), 1)
    with DeepSeekClient(**PROOF, base_url=server.url, transport=transport) as client:  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    assert fetches(server) == 1
