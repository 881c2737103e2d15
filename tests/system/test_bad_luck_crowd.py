"""Too many at once: slow connections do not slow others, and each key, like the process, has its cap."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, WireResponse

from .calls import Gateway, body, table, upstream, wait_for
from .keys import add_keys, revoke

PER_KEY, IN_ALL = 3, 5


@pytest.fixture(scope="module")
def capped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """At most three calls of a key at once, and five in all."""
    with ScriptedUpstream() as scripted:
        limits = table("[limits]", concurrency=IN_ALL, concurrency_per_key=PER_KEY)
        config = limits + upstream("open", scripted.base_url)
        with RunningServer(config, tmp_path_factory.mktemp("capped")) as server:
            yield Gateway(server, scripted)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    """Of `keys`, in their order."""
    return []


@pytest.fixture(scope="module")
def keys(capped: Gateway, ids: list[str]) -> list[str]:
    """A thousand more keys, put into the database while the server runs."""
    more = [f"sk-many-{number:04}-{'x' * 20}" for number in range(1000)]
    ids.extend(add_keys(capped.server.data, more))
    wait_for(lambda: capped.ask(body("open"), key=more[-1]).status == 200, "the new keys in force")
    return more


class Holder:
    """Calls that stay under way until released."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._open = ExitStack()

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._gateway.upstream.wait_until_idle(connections=1000)

    def hold(self, key: str = "", *, stream: bool = False) -> None:
        """One more call, which the upstream has got and never answers."""
        seen = len(self._gateway.upstream.requests)
        self._gateway.upstream.enqueue(Answer.silence())
        connection = self._open.enter_context(self._gateway.connect())
        connection.send(self._gateway.request(body("open", stream=stream), key=key))
        self._gateway.upstream.wait_requests(seen + 1)


def refused(answer: WireResponse, status: int, code: str) -> None:
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert int(answer.header("retry-after") or "") >= 1


def test_a_key_over_its_cap_is_told_to_wait(capped: Gateway) -> None:
    before = capped.upstream.statistics().requests
    with Holder(capped) as holder:
        for number in range(PER_KEY):
            holder.hold(stream=bool(number % 2))
        answer = capped.ask(body("open"))
        refused(answer, 429, "concurrency_exceeded")
        assert answer.json()["error"]["message"].startswith(f"Your current concurrency is {PER_KEY}")
        refused(capped.ask(body("open", stream=True)), 429, "concurrency_exceeded")
        assert capped.get("/readyz").status == 200
    assert capped.upstream.statistics().requests == before + PER_KEY
    assert wait_for(lambda: capped.ask(body("open")).status == 200, "a free place")


def test_the_process_over_its_cap_refuses_everybody(capped: Gateway, keys: list[str]) -> None:
    with Holder(capped) as holder:
        for key in keys[:IN_ALL]:
            holder.hold(key)
        for key in (keys[0], keys[10], ""):
            refused(capped.ask(body("open"), key=key), 503, "overloaded")
        assert capped.get("/readyz").status == 200
    assert wait_for(lambda: capped.ask(body("open"), key=keys[10]).status == 200, "a free place")


def test_a_full_key_leaves_room_for_others(capped: Gateway, keys: list[str]) -> None:
    with Holder(capped) as holder:
        for _ in range(PER_KEY):
            holder.hold(keys[1])
        refused(capped.ask(body("open"), key=keys[1]), 429, "concurrency_exceeded")
        assert capped.ask(body("open"), key=keys[2]).status == 200


@pytest.mark.parametrize(
    "end",
    [
        Answer.chat("fine"),
        Answer.chat_stream(["fine"]),
        Answer.error(500),
        Answer.garbage(),
        Answer.chat_stream(["fine"]).reset(after_events=1),
    ],
)
def test_every_end_gives_the_place_back(capped: Gateway, keys: list[str], end: Answer) -> None:
    for number in range(IN_ALL * 2):
        capped.upstream.enqueue(end)
        answer = capped.ask(body("open", stream=bool(number % 2)), key=keys[3])
        assert answer.status not in (429, 503)


def test_each_of_a_thousand_keys_is_known_and_counted(capped: Gateway, keys: list[str]) -> None:
    with capped.connect() as connection:
        for key in keys:
            connection.send(capped.request(body("open"), key=key))
            assert connection.read_response().status == 200
    wait_for(lambda: len({row["key_id"] for row in capped.usage().values()}) > 1000, "a row of each key")


def test_a_revoked_key_is_a_strangers(capped: Gateway, keys: list[str], ids: list[str]) -> None:
    revoke(capped.server.data, ids[500])
    wait_for(lambda: capped.ask(body("open"), key=keys[500]).status == 401, "the end of the key")
    assert capped.ask(body("open"), key=keys[501]).status == 200


def test_five_hundred_slow_connections_do_not_slow_the_next(gateway: Gateway) -> None:
    alone = latency(gateway)
    head = gateway.request(body("open"))
    with ExitStack() as crowd:
        slow = [crowd.enter_context(gateway.connect()) for _ in range(500)]
        for number, connection in enumerate(slow):
            connection.send(head[: 20 + number % 150])
        stop = threading.Event()
        trickle = threading.Thread(target=_trickle, args=[slow, stop])
        trickle.start()
        try:
            crowded = latency(gateway)
        finally:
            stop.set()
            trickle.join()
    assert crowded < 0.1
    assert crowded < max(alone * 3, 0.02)


def _trickle(slow: list[object], stop: threading.Event) -> None:
    """Another byte of a header on each connection, a hundred connections a second."""
    while not stop.is_set():
        for connection in slow:
            connection.send_anyway(b"a")  # type: ignore[attr-defined]
            if stop.wait(0.01):
                return


def latency(gateway: Gateway) -> float:
    """The median time of fifty calls, each on a new connection, in seconds."""
    times = []
    for _ in range(50):
        began = time.monotonic()
        assert gateway.ask(body("open")).status == 200
        times.append(time.monotonic() - began)
    return statistics.median(times)
