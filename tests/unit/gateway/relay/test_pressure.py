"""A client that reads slowly slows its upstream; little is held for it, and nothing is lost."""

from __future__ import annotations

from tests.unit.gateway.messages import DONE, LAST, chunk, completion
from tests.unit.gateway.stage import Client, ServerConnection, Stage


def choked(stage: Stage) -> tuple[Client, ServerConnection, int]:
    """A stream whose client does not read, at the point where its upstream is paused; events so far."""
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    client.transport.stuck = True
    count = 0
    while server.transport.reading:
        server.stream(chunk("x" * 5000))
        count += 1
        assert count < 1000, "never paused"
    return client, server, count


def test_the_upstream_is_paused_and_resumed(stage: Stage) -> None:
    client, server, count = choked(stage)
    assert 256 * 1024 <= len(client.transport.buffered) < 1024 * 1024
    client.transport.unstick()
    assert server.transport.reading
    server.stream(LAST, DONE).end_stream()
    assert len(client.answer().events) == count + 2
    assert stage.settled[0].status == 200


def test_no_comments_and_no_time_out_while_the_client_is_the_slow_one(stage: Stage) -> None:
    client, server, _ = choked(stage)
    held = len(client.transport.buffered)
    stage.pass_time(55.0)
    assert len(client.transport.buffered) == held
    client.transport.unstick()
    stage.pass_time(10.0)
    server.stream(LAST, DONE).end_stream()
    assert client.answer().events[-1] == "[DONE]"


def test_silence_is_counted_from_the_resuming(make_stage: object) -> None:
    stage: Stage = make_stage(  # type: ignore[operator]
        '[[upstreams]]\nname="up"\nkind="openai"\nbase_url="http://up.test"\nidle_timeout=20\n'
        '[[models]]\nname="m"\ntargets=[{upstream="up"}]\n'
    )
    client, _, _ = choked(stage)
    stage.pass_time(50.0)
    client.transport.unstick()
    stage.pass_time(19.0)
    assert stage.settled == []
    stage.pass_time(2.0)
    assert stage.settled[0].code == "upstream_timeout"


def test_what_comes_in_one_read_is_written_as_one(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    writes: list[int] = []
    write = client.transport.write
    client.transport.write = lambda data: (writes.append(len(data)), write(data))  # type: ignore[method-assign]
    events = [chunk(str(number)) + b"\n\n" for number in range(50)]
    server.say(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events))
    assert len(writes) == 1
    server.stream(LAST, DONE).end_stream()
    assert len(client.answer().events) == 52


def test_a_large_plain_answer_is_paused_too(stage: Stage) -> None:
    client = stage.client().ask()
    body = completion("x" * 3_000_000)
    server = stage.server.last.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    client.transport.stuck = True
    at = 0
    while server.transport.reading:
        server.say(body[at : at + 65536])
        at += 65536
        assert at < len(body), "never paused"
    assert len(client.transport.buffered) < 1024 * 1024
    client.transport.unstick()
    for start in range(at, len(body), 65536):
        server.say(body[start : start + 65536])
    assert client.answer().body == body


def test_a_paused_connection_reads_again_for_its_next_call(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    server = stage.server.last.begin_stream()
    client.transport.stuck = True
    last = b"".join(event + b"\n\n" for event in (chunk("x" * 400_000), LAST, DONE))
    server.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
    assert server.transport.reading, "given back paused: the next call on it would wait for ever"
    other = stage.client().ask()
    assert len(stage.server.connections) == 1
    stage.server.last.answer()
    assert other.answer().status == 200


def test_what_was_on_its_way_when_it_was_paused_may_be_the_end(stage: Stage) -> None:
    client, server, _ = choked(stage)
    last = LAST + b"\n\n" + DONE + b"\n\n"
    server.transport.protocol.data_received(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))  # as TLS may
    stage.turn()
    assert server.transport.reading
    client.transport.unstick()
    assert client.answer().events[-1] == "[DONE]"
    other = stage.client().ask()
    assert len(stage.server.connections) == 1
    server.answer()
    assert other.answer().status == 200


def test_a_client_that_is_choked_before_the_upstream_is_connected(stage: Stage) -> None:
    dials: list[object] = []
    dial = stage.loop.dial

    async def slowly(factory: object, address: str) -> object:
        gate = stage.loop.create_future()
        dials.append(gate)
        await gate
        return await dial(factory, address)  # type: ignore[arg-type]

    stage.loop.dial = slowly
    client = stage.client().ask(stream=True)
    client.connection.pause_writing()
    dials[0].set_result(None)  # type: ignore[attr-defined]
    stage.turn()
    assert not stage.server.last.transport.reading
    client.connection.resume_writing()
    stage.server.last.begin_stream().stream(LAST, DONE).end_stream()
    assert client.answer().events[-1] == "[DONE]"
