"""A plain call from its last byte to its settlement."""

from __future__ import annotations

import json

import pytest
from tests.unit.gateway.messages import DONE, LAST, USAGE, chat, chunk, completion
from tests.unit.gateway.stage import Stage

from abyssal.gateway.relay.call import HOLD_BYTES
from abyssal.stores.records import Opened, Settled


def test_the_answer_is_the_upstream_s(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer(completion("hello"))
    answer = client.answer()
    assert answer.status == 200
    assert answer.body == completion("hello")
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-request-id")
    assert answer.header("connection") is None
    assert not client.gone


def test_the_request_reaches_the_upstream_with_its_name_and_nothing_else_changed(stage: Stage) -> None:
    body = b'{"model" : "m", "messages":[{"role":"user","content":"hi"}],  "temperature":0.50,"x":[1E2]}'
    stage.client().ask(body)
    request = stage.server.last.request
    assert (request.method, request.target) == ("POST", "/base/chat/completions")
    assert request.body == body.replace(b'"m"', b'"their-model"')
    assert stage.server.last.address == "up.test:8001"


def test_a_call_is_opened_before_the_upstream_is_asked_and_settled_before_the_client_knows(
    stage: Stage,
) -> None:
    client = stage.client().ask()
    (opened,) = stage.records
    assert isinstance(opened, Opened)
    assert (opened.key_id, opened.model, opened.upstream, opened.stream) == ("key_1", "m", "up", False)
    told: list[int] = []
    write = client.transport.write
    client.transport.write = lambda data: (told.append(len(stage.settled)), write(data))  # type: ignore[method-assign]
    stage.loop.now += 2.0
    stage.server.last.answer()
    assert told == [1]
    (settled,) = stage.settled
    assert settled.id == opened.id == client.answer().header("x-request-id")
    assert (settled.status, settled.code, settled.estimated) == (200, "", False)
    assert (settled.prompt_tokens, settled.completion_tokens) == (11, 5)
    assert settled.total_us == settled.first_byte_us == 2_000_000


def test_a_place_is_taken_while_the_call_lasts(stage: Stage) -> None:
    client = stage.client().ask()
    assert (stage.gateway.caps.in_flight, stage.upstream.in_flight) == (1, 1)
    stage.server.last.answer()
    assert (stage.gateway.caps.in_flight, stage.upstream.in_flight) == (0, 0)
    assert client.answer().status == 200


def test_the_connection_to_the_upstream_is_used_again(stage: Stage) -> None:
    client = stage.client()
    for _ in range(3):
        client.ask()
        stage.server.last.answer()
    assert len(stage.server.connections) == 1
    assert len(client.answers()) == 3
    assert [record.status for record in stage.settled] == [200, 200, 200]


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_the_answer_may_come_in_any_pieces(stage: Stage, size: int) -> None:
    client = stage.client().ask()
    stage.server.last.answer(completion("x" * 3000), size=size)
    assert client.answer().body == completion("x" * 3000)


def test_an_answer_in_chunks(stage: Stage) -> None:
    client = stage.client().ask()
    body = completion()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    stage.server.last.say(
        head + b"5\r\n" + body[:5] + b"\r\n%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n"
    )
    assert client.answer().body == body
    assert not stage.server.last.closed


def test_an_answer_that_ends_with_its_connection(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + completion()).close()
    assert client.answer().body == completion()
    client.ask()
    assert len(stage.server.connections) == 2


def test_an_interim_answer_is_not_the_answer(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.say(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    stage.server.last.answer()
    assert client.answer().status == 200
    assert client.answer().header("link") is None


def test_blank_lines_before_the_json_are_harmless(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer(b"\n\n\n" + completion())
    assert client.answer().json() == json.loads(completion())
    assert stage.settled[0].prompt_tokens == 11


@pytest.mark.parametrize("framed", [True, False])
def test_an_answer_too_large_to_hold_is_passed_on_as_it_comes(stage: Stage, framed: bool) -> None:
    client = stage.client().ask()
    body = completion("x" * (HOLD_BYTES * 3))
    framing = b"content-length: %d" % len(body) if framed else b"transfer-encoding: chunked"
    server = stage.server.last.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + framing + b"\r\n\r\n"
    )
    for at in range(0, len(body), 100_000):
        piece = body[at : at + 100_000]
        server.say(piece if framed else b"%x\r\n%b\r\n" % (len(piece), piece))
        if at > HOLD_BYTES * 2:
            assert len(client.bytes) > HOLD_BYTES, "it was held"
    if not framed:
        server.say(b"0\r\n\r\n")
    assert client.answer().body == body
    (settled,) = stage.settled
    assert (settled.status, settled.code) == (200, "")


def test_an_answer_at_the_limit_is_still_held(stage: Stage) -> None:
    client = stage.client().ask()
    body = completion("x" * (HOLD_BYTES - len(completion(""))))
    assert len(body) == HOLD_BYTES
    stage.server.last.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        + body[:-1]
    )
    assert client.bytes == b""
    stage.server.last.say(body[-1:])
    assert client.answer().body == body
    assert stage.settled[0].prompt_tokens == USAGE["prompt_tokens"]


def test_without_usage_tokens_are_estimated(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer(completion(usage=None))
    assert client.answer().status == 200
    (settled,) = stage.settled
    assert settled.estimated
    assert settled.prompt_tokens > 0


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": None},
        {"prompt_tokens": "many"},
        {"prompt_tokens": -5},
        {"completion_tokens": 10**40},
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_senseless_usage_spoils_neither_the_answer_nor_the_books(
    stage: Stage, usage: object, streamed: bool
) -> None:
    client = stage.client().ask(stream=streamed)
    if streamed:
        stage.server.last.begin_stream().stream(chunk(), chunk("", "stop", usage=usage), DONE).end_stream()
    else:
        stage.server.last.answer(completion(usage=usage))
    assert client.answer().status == 200
    (settled,) = stage.settled
    assert (settled.status, settled.estimated) == (200, True)
    assert 0 < settled.prompt_tokens < 1000


def test_a_compressed_answer_is_passed_on_and_estimated(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.answer(b"\x1f\x8bgzip", headers=b"content-encoding: gzip\r\n")
    assert client.answer().body == b"\x1f\x8bgzip"
    assert client.answer().header("content-encoding") == "gzip"
    assert stage.settled[0].estimated


def test_a_stream_that_nobody_asked_for_is_not_an_answer(stage: Stage) -> None:
    client = stage.client().ask()
    stage.server.last.begin_stream().stream(chunk(), LAST, DONE).end_stream()
    assert client.answer().status == 502
    assert client.answer().error["code"] == "upstream_garbage"


def test_a_plain_answer_to_a_call_for_a_stream_is_passed_on(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.answer()
    assert client.answer().json() == json.loads(completion())
    assert isinstance(stage.records[-1], Settled)


def test_calls_on_many_connections_do_not_mix(stage: Stage) -> None:
    clients = [stage.client().ask(user=str(number)) for number in range(20)]
    for connection in reversed(stage.server.connections):
        connection.answer(completion("for " + connection.request.json()["user"]))
    for number, client in enumerate(clients):
        assert client.answer().json()["choices"][0]["message"]["content"] == f"for {number}"
    assert len({record.id for record in stage.settled}) == 20


def test_a_body_in_chunks_goes_up_with_its_length(stage: Stage) -> None:
    whole = chat()
    head, _, body = whole.partition(b"\r\n\r\n")
    head = head[: head.index(b"Content-Length")] + b"Transfer-Encoding: chunked"
    chunked = b"%x\r\n%b\r\n%x;ext=1\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (
        3,
        body[:3],
        len(body) - 3,
        body[3:],
    )
    stage.client().send(head + b"\r\n\r\n" + chunked)
    request = stage.server.last.request
    assert request.header("transfer-encoding") is None
    assert request.header("content-length") == str(len(request.body))
    assert request.json()["messages"] == json.loads(body)["messages"]
