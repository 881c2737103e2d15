"""How much is kept of streams, what waits for a slow reader, and when an upstream is paused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk
from tests.unit.gateway.stage import CONFIG, Client, ServerConnection, Stage

from .streams import begun, body, end, ids, last_id, resume

BOUND = 64 * 1024
Make = Callable[..., Stage]


@pytest.fixture
def small(make_stage: Make) -> Stage:
    """One that keeps 64 KiB of a stream, and 256 KiB of all."""
    return make_stage(
        CONFIG.format(kind="openai") + f"[limits]\nresume_buffer = {BOUND}\nresume_memory = {4 * BOUND}\n"
    )


def big(number: int, size: int = 1000) -> bytes:
    return chunk(f"{number}:" + "x" * size)


def numbers(text: bytes) -> list[int]:
    """The numbers of the `big` events in an answer's body."""
    return [int(piece.partition(b":")[0]) for piece in text.split(b'"content": "')[1:] if piece[:1].isdigit()]


def fill(server: ServerConnection, start: int = 0, most: int = 10_000) -> int:
    """Send `big` events until the upstream is paused; the number of the next."""
    while server.transport.reading and start < most:
        server.stream(big(start))
        start += 1
    return start


def test_a_stream_that_nobody_reads_is_kept_whole_and_its_upstream_paused(small: Stage) -> None:
    client, server = begun(small, big(0))
    client.leave()
    sent = fill(server, 1)
    assert 50 < sent < 70
    assert small.gateway.streams.held < BOUND + 8192
    second = resume(small, last_id(client))
    assert server.transport.reading
    server.stream(big(sent))
    end(server)
    assert numbers(body(client) + body(second)) == list(range(sent + 1))


def test_time_that_an_upstream_is_paused_is_not_its_fault(small: Stage) -> None:
    client, server = begun(small, big(0))
    client.leave()
    fill(server, 1)
    for _ in range(4):
        small.pass_time(50.0)
        event_id = last_id(client)
        client.leave()
        client = resume(small, event_id)
        client.leave()
    client = resume(small, event_id)
    end(server)
    assert client.answer().complete
    assert [record.status for record in small.settled] == [200]


def test_a_reader_who_keeps_up_pauses_nothing_and_the_oldest_go(small: Stage) -> None:
    client, server = begun(small)
    for number in range(500):
        server.stream(big(number))
        assert server.transport.reading
    assert small.gateway.streams.held < BOUND + 8192
    named = ids(client.answers()[0])
    client.leave()
    assert resume(small, named[400]).answer().error["code"] == "stream_not_found"
    second = resume(small, named[460])
    end(server)
    assert numbers(body(second)) == list(range(460, 500))


def test_who_leaves_after_much_was_sent_leaves_room_for_more(small: Stage) -> None:
    client, server = begun(small)
    for number in range(500):
        server.stream(big(number))
    client.leave()
    sent = fill(server, 500)
    assert 512 < sent < 520  # a quarter of the buffer: the rest may not have arrived
    second = resume(small, ids(client.answers()[0])[465])
    end(server)
    assert numbers(body(second)) == list(range(465, sent))


def test_a_slow_reader_gets_everything(small: Stage) -> None:
    client, server = begun(small)
    client.transport.stuck = True
    sent = fill(server)
    assert 50 < sent < 70
    assert len(client.transport.buffered) < 64 * 1024
    client.transport.unstick()
    assert server.transport.reading
    sent = fill(server, sent, sent + 20)
    end(server)
    assert numbers(client.answer().body) == list(range(sent))


def test_a_slow_reader_gets_everything_after_the_end_too(small: Stage) -> None:
    client, server = begun(small)
    client.transport.stuck = True
    for number in range(50):
        server.stream(big(number))
    end(server)
    assert [record.status for record in small.settled] == [200]
    client.transport.unstick()
    assert numbers(client.answer().body) == list(range(50))
    assert client.answer().events[-1].endswith("[DONE]")


def test_a_reader_that_reads_nothing_for_a_minute_may_come_back(small: Stage) -> None:
    client, server = begun(small, big(0))
    client.transport.stuck = True
    sent = fill(server, 1)
    small.pass_time(62.0)
    assert client.gone
    second = resume(small, last_id(client))
    end(server)
    assert numbers(body(client) + body(second)) == list(range(sent))


def test_who_comes_back_and_reads_slowly_is_written_to_bit_by_bit(small: Stage) -> None:
    client, server = begun(small, big(0))
    client.leave()
    fill(server, 1)
    second = small.client()
    second.transport.stuck = True
    line = f"GET /v1/chat/completions HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {last_id(client)}\r\n"
    line += "Authorization: Bearer sk-first-0123456789abcdef\r\n\r\n"
    second.send(line.encode())
    assert 0 < len(second.transport.buffered) <= 48 * 1024
    assert not server.transport.reading
    second.transport.unstick()
    end(server)
    assert second.answer().complete


def test_the_connection_holds_as_much_as_ever_afterwards(small: Stage) -> None:
    client, server = begun(small)
    before = client.transport._high
    end(server)
    assert client.answer().complete
    assert before < client.transport._high == 256 * 1024


def test_an_event_larger_than_all_is_passed_and_kept_for_once(small: Stage) -> None:
    client, server = begun(small, big(0))
    server.stream(big(1, 300_000))
    assert server.transport.reading
    named = ids(client.answers()[0])
    client.leave()
    assert resume(small, named[0]).answer().status == 404
    second = resume(small, named[1])
    server.stream(big(2))
    end(server)
    assert numbers(body(second)) == [1, 2]


def test_ten_thousand_events(small: Stage) -> None:
    client, server = begun(small)
    for number in range(0, 10_000, 100):
        server.stream(*[big(at, 1) for at in range(number, number + 100)])
    assert small.gateway.streams.held < BOUND + 8192
    event_id = ids(client.answers()[0])[9_900]
    client.leave()
    second = resume(small, event_id)
    end(server)
    assert numbers(body(second)) == list(range(9_900, 10_000))


def test_the_gauges_tell_of_it(small: Stage) -> None:
    client, _ = begun(small, big(0))
    gauges = small.gateway.gauges()
    assert (gauges.resumable_streams, gauges.resumable_bytes) == (1, small.gateway.streams.held)
    client.leave()
    small.pass_time(60.0)
    gauges = small.gateway.gauges()
    assert (gauges.resumable_streams, gauges.resumable_bytes) == (0, 0)


# All streams together


def test_complete_streams_go_first_the_oldest_before_the_others(small: Stage) -> None:
    clients: list[Client] = []
    for _ in range(8):
        client, server = begun(small, *[big(number) for number in range(40)])
        end(server)
        clients.append(client)
        assert small.gateway.streams.held <= 4 * BOUND
    there = [resume(small, last_id(client)).answer().status for client in clients]
    assert there == sorted(there, reverse=True)
    assert there[0] == 404
    assert there[-4:] == [200] * 4


def test_streams_that_nobody_reads_are_paused_together(small: Stage) -> None:
    left = [begun(small, big(0)) for _ in range(12)]
    for client, _ in left:
        client.leave()
    sent = [fill(server, 1) for _, server in left]
    assert small.gateway.streams.held < 5 * BOUND
    for client, server in left[:-1]:
        second = resume(small, last_id(client))
        end(server)
        second.leave()
    small.pass_time(1.0)
    assert left[-1][1].transport.reading
    second = resume(small, last_id(left[-1][0]))
    end(left[-1][1])
    assert numbers(body(second)) == list(range(1, sent[-1]))


def test_when_memory_is_short_who_reads_goes_on_and_less_is_kept(small: Stage) -> None:
    left = [begun(small, big(0)) for _ in range(12)]
    for client, _ in left:
        client.leave()
    for _, server in left:
        fill(server, 1)
    client, server = begun(small)
    for number in range(300):
        server.stream(big(number))
        assert server.transport.reading
    assert small.gateway.streams.held < 5 * BOUND
    server.stream(LAST, DONE).end_stream()
    assert numbers(client.answer().body) == list(range(300))
