"""How long a client may take: a head 10 s, a pause in a body 30 s, idleness 75 s, not reading 60 s."""

from __future__ import annotations

import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, chunk, completion, get
from tests.unit.gateway.stage import Stage


def test_a_connection_that_says_nothing_is_closed_after_10_seconds(stage: Stage) -> None:
    client = stage.client()
    stage.pass_time(9.0)
    assert not client.gone
    stage.pass_time(2.0)
    assert client.gone
    assert client.bytes == b""


@pytest.mark.parametrize("first", [b"P", b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_is_not_whole_after_10_seconds_is_refused(stage: Stage, first: bytes) -> None:
    client = stage.client().send(first)
    stage.pass_time(9.0)
    assert client.bytes == b""
    stage.pass_time(2.0)
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert answer.header("connection") == "close"
    assert client.transport.ended
    stage.pass_time(3.0)
    assert client.gone


def test_a_trickled_head_gets_no_more_time(stage: Stage) -> None:
    client = stage.client()
    for byte in chat()[:30]:
        if not client.gone:
            client.send(bytes((byte,)))
        stage.pass_time(1.0)
    assert client.answer().status == 408
    assert client.gone


def test_a_head_on_a_kept_connection_gets_10_seconds_too(stage: Stage) -> None:
    client = stage.client().send(get("/healthz"))
    stage.pass_time(30.0)
    client.send(b"GET /hea")
    stage.pass_time(9.0)
    assert len(client.answers()) == 1
    stage.pass_time(2.0)
    assert [answer.status for answer in client.answers()] == [200, 408]


def test_a_body_that_stalls_30_seconds_is_refused(stage: Stage) -> None:
    client = stage.client().send(chat()[:-5])
    stage.pass_time(29.0)
    assert client.bytes == b""
    stage.pass_time(2.0)
    assert client.answer().status == 408
    assert "body" in client.answer().error["message"]
    assert stage.server.connections == []


def test_a_body_that_comes_slowly_is_taken(stage: Stage) -> None:
    client = stage.client().send(chat()[:-5])
    for byte in chat()[-5:]:
        stage.pass_time(29.0)
        client.send(bytes((byte,)))
    stage.server.last.answer()
    assert client.answer().status == 200


def test_the_body_of_a_recognised_head_has_its_deadline_too(stage: Stage) -> None:
    client = stage.client()
    for _ in range(2):
        client.ask()
        stage.server.last.answer()
    client.send(chat()[:-5])
    stage.pass_time(29.0)
    client.send(chat()[-5:-3])
    stage.pass_time(29.0)
    assert len(client.answers()) == 2
    stage.pass_time(2.0)
    assert [answer.status for answer in client.answers()] == [200, 200, 408]


def test_an_idle_connection_is_closed_after_75_seconds(stage: Stage) -> None:
    client = stage.client().send(get("/healthz"))
    stage.pass_time(74.0)
    assert not client.gone
    stage.pass_time(2.0)
    assert client.gone
    assert len(client.answers()) == 1


def test_idleness_begins_with_the_end_of_the_last_answer(stage: Stage) -> None:
    client = stage.client().ask()
    stage.pass_time(500.0)
    assert not client.gone
    stage.server.last.answer()
    stage.pass_time(74.0)
    assert not client.gone
    stage.pass_time(2.0)
    assert client.gone


def test_blank_lines_do_not_keep_a_connection(stage: Stage) -> None:
    client = stage.client().send(get("/healthz"))
    for _ in range(80):
        if not client.gone:
            client.send(b"\r\n")
        stage.pass_time(1.0)
    assert client.gone


def test_a_call_at_work_has_no_deadline_of_the_front_s(stage: Stage) -> None:
    client = stage.client().ask()
    stage.pass_time(590.0)
    stage.server.last.answer()
    assert client.answer().status == 200


# A client that does not read


def test_a_client_that_does_not_read_is_cut_after_60_seconds(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    client.transport.stuck = True
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
    assert len(client.transport.buffered) < 1024 * 1024
    stage.pass_time(59.0)
    assert not client.gone
    stage.pass_time(2.0)
    assert client.transport.aborted
    assert server.closed
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (499, "client_gone")


def test_a_client_that_reads_again_in_time_gets_everything(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    client.transport.stuck = True
    count = 0
    while server.transport.reading:
        server.stream(chunk("x" * 10_000))
        count += 1
    stage.pass_time(50.0)
    client.transport.unstick()
    assert server.transport.reading
    stage.pass_time(50.0)
    server.stream(LAST, DONE).end_stream()
    events = [event for event in client.answer().events if event != ": keep-alive"]
    assert len(events) == count + 2
    assert stage.settled[0].status == 200


def test_an_answer_that_is_never_read_does_not_hold_the_connection_for_ever(stage: Stage) -> None:
    client = stage.client()
    client.transport.stuck = True
    client.send(get("/healthz", b"Connection: close\r\n"))
    stage.pass_time(70.0)
    assert client.transport.lost


def test_an_idle_connection_whose_last_answer_was_never_read_ends_too(stage: Stage) -> None:
    client = stage.client()
    client.transport.stuck = True
    client.send(get("/healthz"))
    stage.pass_time(75.0 + 70.0)
    assert client.transport.lost


def test_a_slow_reader_of_a_last_answer_gets_it_whole(stage: Stage) -> None:
    client = stage.client()
    client.transport.stuck = True
    client.send(chat(headers=b"Connection: close\r\n"))
    stage.server.last.answer(completion("x" * 200_000))
    stage.pass_time(30.0)
    client.transport.unstick()
    assert client.answer().body == completion("x" * 200_000)


def test_what_a_refused_client_still_sends_is_not_read_for_ever(stage: Stage) -> None:
    client = stage.client().send(b"NONSENSE\r\n\r\n")
    assert client.answer().status in (400, 501)
    for _ in range(100):
        if client.transport.reading and not client.gone:
            client.send(b"x" * 65536)
    assert client.gone
    other = stage.client().send(b"NONSENSE\r\n\r\n")
    stage.pass_time(3.5)
    assert other.gone
