"""Compressed bodies through a whole gateway: what is inflated, for whom, and which answers are compressed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.gateway.messages import DONE, KEY, LAST, chat, chunk, completion, get
from tests.unit.gateway.stage import Client, Stage

from abyssal.gateway.bodies.layer import MOST_WAITING

if sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello " * 99}]}).encode()
LONG = completion("hello " * 400)


def coded(coding: bytes, body: bytes, more: bytes = b"", **options: bytes) -> bytes:
    return chat(body, headers=b"Content-Encoding: %b\r\n%b" % (coding, more), **options)


def accepting(coding: bytes, more: bytes = b"") -> bytes:
    return b"Accept-Encoding: %b\r\n%b" % (coding, more)


def wait_for_thread(stage: Stage) -> None:
    """Until what was given to the inflating thread is done, and told."""
    assert stage.gateway.bodies._thread is not None
    stage.gateway.bodies._thread.submit(lambda: None).result(timeout=60)
    stage.turn()


@pytest.mark.parametrize(
    ("coding", "body"),
    [(b"gzip", gzip.compress(BODY)), (b"deflate", zlib.compress(BODY)), (b"zstd", zstd.compress(BODY))],
)
def test_the_upstream_is_sent_what_was_meant(stage: Stage, coding: bytes, body: bytes) -> None:
    client = stage.client().send(coded(coding, body, b"Content-Type: application/json\r\nX-Other: 1\r\n"))
    request = stage.server.last.request
    assert request.json() == {**json.loads(BODY), "model": "their-model"}
    assert request.header("content-encoding") is None
    assert (request.header("content-type"), request.header("x-other")) == ("application/json", "1")
    stage.server.last.answer()
    assert client.answer().status == 200


def test_a_kept_connection_is_read_anew_each_time(stage: Stage) -> None:
    client = stage.client()
    for coding, body in ((b"gzip", gzip.compress(BODY)), (b"gzip", gzip.compress(BODY)), (b"identity", BODY)):
        client.send(coded(coding, body))
        stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200, 200]
    assert len({bytes(request.body) for request in stage.server.requests}) == 1


def test_a_coding_told_twice_is_two_codings(stage: Stage) -> None:
    client = stage.client().send(coded(b"gzip", gzip.compress(BODY), b"Content-Encoding: gzip\r\n"))
    assert client.answer().status == 415


def test_dialects_are_inflated_too(stage: Stage) -> None:
    body = gzip.compress(b'{"model":"m","prompt":"hi"}')
    client = stage.client().send(coded(b"gzip", body, line=b"POST /v1/completions HTTP/1.1\r\n"))
    stage.server.last.answer()
    assert client.answer().json()["choices"][0]["text"] == "hello"
    count = gzip.compress(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    line = b"POST /anthropic/v1/messages/count_tokens HTTP/1.1\r\n"
    assert stage.client().send(coded(b"gzip", count, line=line)).answer().json()["input_tokens"] > 0


def test_a_stranger_has_nothing_inflated(stage: Stage) -> None:
    request = coded(b"gzip", b"nonsense").replace(KEY.encode(), b"sk-nobody")
    assert stage.client().send(request).answer().status == 401


@pytest.mark.parametrize("body", [b"", b"nonsense", gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"x"])
def test_what_is_not_in_its_coding(stage: Stage, body: bytes) -> None:
    client = stage.client().send(coded(b"gzip", body))
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (400, "invalid_encoding")
    assert not client.gone
    assert stage.server.connections == []
    assert stage.refused[0].key_id == "key_1"


def large(stage: Stage, body: bytes) -> Client:
    client = stage.client().send(coded(b"gzip", gzip.compress(body, 1)))
    assert client.answers() == []  # it is inflated in a thread
    return client


def test_a_large_body_is_inflated_beside_the_loop(stage: Stage) -> None:
    text = "hello " * 500_000
    client = large(
        stage, json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    )
    wait_for_thread(stage)
    assert stage.server.last.request.json()["messages"][0]["content"] == text
    stage.server.last.answer()
    assert client.answer().status == 200


def test_a_bomb_is_too_large(stage: Stage) -> None:
    client = large(stage, bytes(60 << 20))
    wait_for_thread(stage)
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert not client.gone
    assert stage.server.connections == []


def test_of_many_at_once_the_last_are_refused(stage: Stage) -> None:
    hold, bomb = threading.Event(), coded(b"gzip", gzip.compress(bytes(2 << 20), 1))
    stage.gateway.bodies._thread = thread = ThreadPoolExecutor(1)
    thread.submit(hold.wait, 60)
    clients = [stage.client().send(bomb) for _ in range(MOST_WAITING + 2)]
    try:
        answers = [client.answers() for client in clients]
    finally:
        hold.set()
    assert answers[:-1] == [[]] * (MOST_WAITING + 1)
    (refused,) = answers[-1]
    assert (refused.status, refused.header("retry-after")) == (503, "1")
    wait_for_thread(stage)
    assert [client.answer().status for client in clients[:-1]] == [400] * (MOST_WAITING + 1)


def test_a_client_that_leaves_meanwhile(stage: Stage) -> None:
    client = large(stage, bytes(60 << 20))
    client.leave()
    wait_for_thread(stage)
    assert client.answers() == []
    assert stage.server.connections == []


def test_a_signature_covers_the_bytes_as_sent(stage: Stage) -> None:
    """A digest of the body is one of the compressed body (RFC 9530 §2): see the ways in `tests/system`."""
    body = gzip.compress(BODY)
    digest = base64.b64encode(hashlib.sha256(body).digest())
    seen: list[bytes] = []
    authenticate = stage.gateway.pipeline._authenticate

    def watch(exchange: object) -> object:
        seen.append(exchange.body)  # type: ignore[attr-defined]
        return authenticate(exchange)  # type: ignore[arg-type]

    stage.gateway.pipeline._authenticate = watch  # type: ignore[assignment]
    stage.client().send(coded(b"gzip", body, b"Content-Digest: sha-256=:%b:\r\n" % digest))
    assert seen == [body]


# ---- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "coding"), [(b"gzip", "gzip"), (b"zstd, gzip", "zstd"), (b"gzip;q=1, zstd;q=0.5", "gzip")]
)
def test_an_answer_is_compressed_when_that_is_asked(stage: Stage, accept: bytes, coding: str) -> None:
    client = stage.client().send(chat(headers=accepting(accept)))
    assert stage.server.last.request.header("accept-encoding") is None
    stage.server.last.answer(LONG)
    answer = client.answer()
    assert (answer.header("content-encoding"), answer.header("vary")) == (coding, "accept-encoding")
    assert answer.header("content-type") == "application/json"
    assert {"gzip": gzip.decompress, "zstd": zstd.decompress}[coding](answer.body) == LONG
    assert len(answer.body) < len(LONG) / 5


@pytest.mark.parametrize(
    ("tag", "sent"), [(b'"a"', 'W/"a"'), (b'W/"a"', 'W/"a"'), (b' \t"a, b"', 'W/"a, b"')]
)
def test_a_strong_entity_tag_is_not_that_of_compressed_bytes(stage: Stage, tag: bytes, sent: str) -> None:
    client = stage.client().send(get("/", accepting(b"gzip")))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag:%b\r\nContent-Length: %d\r\n\r\n"
    stage.server.last.say(head % (tag, len(LONG)) + LONG)
    answer = client.answer()
    assert (answer.header("content-encoding"), answer.header("etag")) == ("gzip", sent)
    plain = stage.client().send(get("/"))
    stage.server.last.say(head % (tag, len(LONG)) + LONG)
    assert plain.answer().header("etag") == tag.decode().strip()


@pytest.mark.parametrize("accept", [b"", b"br", b"identity", b"gzip;q=0", b"deflate"])
def test_nor_when_it_is_not(stage: Stage, accept: bytes) -> None:
    client = stage.client().send(chat(headers=accepting(accept)))
    stage.server.last.answer(LONG)
    answer = client.answer()
    assert (answer.header("content-encoding"), answer.body) == (None, LONG)


def test_short_answers_and_errors_are_not(stage: Stage) -> None:
    client = stage.client().send(chat(headers=accepting(b"gzip")))
    stage.server.last.answer()
    assert client.answer().header("content-encoding") is None
    refused = stage.client().send(chat(b"{", headers=accepting(b"gzip"))).answer()
    assert (refused.status, refused.error["code"]) == (400, "invalid_json")


def test_a_stream_is_not(stage: Stage) -> None:
    client = stage.client().send(chat(headers=accepting(b"gzip, zstd"), stream=True))
    server = stage.server.last.begin_stream()
    server.stream(*[chunk("hello " * 100) for _ in range(9)], LAST, DONE)
    server.end_stream()
    answer = client.answer()
    assert answer.header("content-encoding") is None
    assert answer.events[-1] == "[DONE]"


def test_a_large_answer_in_pieces_is(stage: Stage) -> None:
    body = completion("hello " * 200_000)
    client = stage.client().send(chat(headers=accepting(b"gzip")))
    stage.server.last.answer(body, size=50_000)
    answer = client.answer()
    assert (answer.header("content-encoding"), answer.header("transfer-encoding")) == ("gzip", "chunked")
    assert gzip.decompress(answer.body) == body


def test_one_that_is_compressed_already_passes(stage: Stage) -> None:
    client = stage.client().send(chat(headers=accepting(b"gzip")))
    body = zlib.compress(LONG + bytes(range(256)) * 8)
    stage.server.last.answer(body, headers=b"content-encoding: deflate\r\n")
    answer = client.answer()
    assert (answer.header("content-encoding"), answer.body) == ("deflate", body)


def test_a_part_of_a_file_is_not(stage: Stage) -> None:
    headers = accepting(b"gzip", b"Range: bytes=0-1999\r\n")
    client = stage.client().send(get("/v1/platform/files", headers=headers))
    stage.server.last.answer(LONG, status=206, headers=b"content-range: bytes 0-1999/5000\r\n")
    answer = client.answer()
    assert (answer.status, answer.header("content-encoding"), answer.body) == (206, None, LONG)


def test_dialects_and_what_the_worker_knows_itself_are(stage: Stage) -> None:
    line = b"POST /v1/completions HTTP/1.1\r\n"
    client = stage.client().send(chat(b'{"model":"m","prompt":"hi"}', headers=accepting(b"gzip"), line=line))
    stage.server.last.answer(LONG)
    assert json.loads(gzip.decompress(client.answer().body))["choices"][0]["text"] == "hello " * 400
    schema = stage.client().send(get("/v1/schema.proto", headers=accepting(b"gzip"))).answer()
    assert b"package abyssal.v1;" in gzip.decompress(schema.body)


def test_head_tells_of_the_plain_answer(stage: Stage) -> None:
    request = get("/v1/schema.proto", headers=accepting(b"gzip"), method="HEAD")
    answer = stage.client().send(request).answer("HEAD")
    assert answer.header("content-encoding") is None


# ---- backstage ---------------------------------------------------------------------------------------------


def test_a_management_request_is_passed_on_inflated(stage: Stage) -> None:
    line = b"POST /v1/platform/projects HTTP/1.1\r\n"
    client = stage.client().send(
        coded(b"gzip", gzip.compress(b'{"name":"p"}'), accepting(b"gzip"), line=line)
    )
    request = stage.server.last.request
    assert (request.body, request.header("content-encoding")) == (b'{"name":"p"}', None)
    stage.server.last.answer(json.dumps(["project"] * 500).encode())
    assert json.loads(gzip.decompress(client.answer().body)) == ["project"] * 500


def test_protobuf_is_for_calls_alone(stage: Stage) -> None:
    line = b"POST /v1/platform/projects HTTP/1.1\r\n"
    for path in (line, b"POST /responses HTTP/1.1\r\n"):
        request = chat(b"\x0a\x00", headers=b"Content-Type: application/x-protobuf\r\n", line=path)
        answer = stage.client().send(request).answer()
        assert answer.status == 415
        assert "/v1/schema.proto" in answer.json()["error"]["message"]
    assert stage.server.connections == []
