"""A client that leaves or does not read: the upstream feels it at once, and nothing stays behind."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from abyssal.testing import Answer, RawConnection, ReceivedRequest

from .calls import Gateway, body, needs_proc, open_files, resident_bytes, wait_for

MIB = 1024 * 1024
LEAVE: dict[str, Callable[[RawConnection], None]] = {
    "close": RawConnection.close,
    "reset": RawConnection.reset,
    "half-close": RawConnection.end_sending,
}
ENDLESS = Answer.chat_stream(["x" * 200], every=0.01, repeat=100_000)
FLOOD = Answer.chat_stream(["x" * 8000], repeat=20_000)  # 160 MB


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_leaving_before_the_first_byte_ends_the_upstreams_work(
    gateway: Gateway, leave: Callable[[RawConnection], None], stream: bool
) -> None:
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(Answer.silence())
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open", stream=stream)))
        request = gateway.upstream.wait_requests(before + 1)[-1]
        left_at = time.monotonic()
        leave(connection)
        assert request.wait_closed() - left_at < 1.0
    row = gateway.settled(request.header("x-request-id") or "")
    assert (row["status"], row["code"], row["stream"]) == (499, "client_gone", stream)
    assert (row["estimated"], row["completion_tokens"]) == (1, 0)
    assert row["prompt_tokens"] > 0


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
@pytest.mark.parametrize("model", ["open", "official"])
def test_leaving_in_the_middle_of_a_stream_is_settled_with_what_came(
    gateway: Gateway, leave: Callable[[RawConnection], None], model: str
) -> None:
    gateway.upstream.enqueue(ENDLESS)
    with gateway.connect() as connection:
        connection.send(gateway.request(body(model, stream=True)))
        for _ in range(5):
            connection.read_until(b"\n\n")
        request = gateway.upstream.requests[-1]
        left_at = time.monotonic()
        leave(connection)
        assert request.wait_closed() - left_at < 1.0
    row = gateway.settled(request.header("x-request-id") or "")
    assert (row["status"], row["code"], row["estimated"]) == (499, "client_gone", 1)
    assert 4 <= row["completion_tokens"] < 300


def test_leaving_after_the_usage_came_is_settled_with_it(gateway: Gateway) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    last = json.dumps({"choices": [choice], "usage": usage})
    gateway.upstream.enqueue(Answer.events([f"data: {last}\n\n"]).stalled(after_events=1))
    with gateway.connect() as connection:
        connection.send(gateway.request(body("official", stream=True)))
        connection.read_until(b"total_tokens")
    row = gateway.settled(gateway.upstream.requests[-1].header("x-request-id") or "")
    assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (3, 2, 0)


def test_leaving_behind_pipelined_calls_asks_the_upstream_for_none_of_them(gateway: Gateway) -> None:
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(Answer.silence())
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open")) * 5)
        request = gateway.upstream.wait_requests(before + 1)[-1]
    request.wait_closed()
    row = gateway.settled(request.header("x-request-id") or "")
    assert row["status"] == 499
    assert len(gateway.upstream.requests) == before + 1


@needs_proc
def test_a_thousand_leavings_leave_nothing_behind(gateway: Gateway) -> None:
    (worker,) = gateway.worker_pids()
    chance = random.Random(1)
    kinds = [chance.choice(["before", "middle", "plain", "at once", "half a request"]) for _ in range(1000)]
    scripts = {
        "before": Answer.silence(),
        "middle": ENDLESS,
        "plain": Answer.chat("late").delayed(30),
        "at once": Answer.chat_stream(["a"] * 5, every=0.05),
    }

    def script(request: ReceivedRequest) -> Answer:
        return scripts[request.json()["messages"][0]["content"]]

    def leave(kind: str) -> None:
        with gateway.connect() as connection:
            wire = gateway.request(body("open", kind, stream=kind != "plain"))
            connection.send(wire[:-5] if kind == "half a request" else wire)
            if kind == "middle":
                connection.read_until(b"\n\n")
                connection.read_until(b"\n\n")
            elif kind in ("before", "plain"):
                time.sleep(random.uniform(0, 0.05))
            if random.random() < 0.5:
                connection.reset()

    gateway.upstream.wait_until_idle(connections=1000)
    files_before = open_files(worker) - gateway.upstream.statistics().open_connections
    rows_before = len(gateway.usage())
    asked_before = gateway.upstream.statistics().requests
    gateway.upstream.default, echo = script, gateway.upstream.default
    try:
        with ThreadPoolExecutor(100) as pool:
            list(pool.map(leave, kinds))
        gateway.upstream.wait_until_idle(connections=1000)
    finally:
        gateway.upstream.default = echo
    wait_for(
        lambda: open_files(worker) - gateway.upstream.statistics().open_connections <= files_before + 2,
        "closed sockets",
    )
    wait_for(lambda: gateway.metric("abyssal_calls_in_flight") == 0, "end of all calls")
    wait_for(lambda: gateway.metric("abyssal_connections") <= 1, "end of all connections")
    asked = gateway.upstream.statistics().requests - asked_before
    rows = len(gateway.usage()) - rows_before
    whole = len(kinds) - kinds.count("half a request")
    assert asked <= rows <= whole
    assert rows > whole * 0.9
    assert gateway.ask(body("open")).status == 200


@needs_proc
def test_a_client_that_does_not_read_slows_the_upstream_and_is_closed(gateway: Gateway) -> None:
    (worker,) = gateway.worker_pids()
    before = resident_bytes(worker)
    gateway.upstream.enqueue(FLOOD)
    with gateway.connect() as connection:
        connection.send(gateway.request(body("open", stream=True)))
        connection.read_until(b"\n\n")
        request = gateway.upstream.requests[-1]
        began = time.monotonic()
        wait_for(lambda: _stands_still(request), "slowed upstream")
        held = request.bytes_sent
        grown = resident_bytes(worker) - before
        request.wait_closed(10)
        assert 1.0 < time.monotonic() - began < 5.0
    assert held < 24 * MIB  # most of it in the kernel's buffers for two sockets
    assert grown < 4 * MIB
    row = gateway.settled(request.header("x-request-id") or "")
    assert row["status"] == 499


def test_a_slow_reader_gets_every_byte(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["Q" * 8000], repeat=1500))
    with gateway.connect() as connection:
        connection.send(gateway.request(body("official", stream=True)))
        time.sleep(1.0)
        assert connection.read_until(b"[DONE]").count(b"Q") == 8000 * 1500


@needs_proc
def test_pipelined_calls_of_a_client_that_does_not_read_are_not_piled_up(gateway: Gateway) -> None:
    (worker,) = gateway.worker_pids()
    gateway.upstream.default, echo = (
        Answer.json({"id": "x", "pad": "x" * 400_000, "choices": []}),
        gateway.upstream.default,
    )
    try:
        before = resident_bytes(worker)
        with gateway.connect() as connection:
            connection.send(gateway.request(body("open")) * 150)
            time.sleep(1.0)
            grown = resident_bytes(worker) - before
    finally:
        gateway.upstream.default = echo
    assert grown < 16 * MIB
    wait_for(lambda: gateway.metric("abyssal_calls_in_flight") == 0, "end of all calls")


@needs_proc
def test_pipelined_calls_wait_in_the_network_and_not_in_memory(gateway: Gateway) -> None:
    """A client that sends ever more calls and reads their answers: few are taken in ahead of their turn."""
    (worker,) = gateway.worker_pids()
    wire = gateway.request(body("open")) * 50
    gateway.upstream.default, echo = Answer.chat("x").delayed(0.005), gateway.upstream.default
    before = resident_bytes(worker)
    try:
        with gateway.connect(1.0) as connection:
            for _ in range(800):
                if not connection.send_anyway(wire):
                    break  # nobody takes more
                connection.read_some()
            grown = resident_bytes(worker) - before
    finally:
        gateway.upstream.default = echo
    assert grown < 8 * MIB


def _stands_still(request: ReceivedRequest) -> bool:
    sent = request.bytes_sent
    time.sleep(0.3)
    return request.bytes_sent == sent
