"""Calls in Protobuf through a whole gateway: the answer is the one that JSON gets."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.messages import DONE, KEY, LAST, Answer, chat, chunk, completion
from tests.unit.gateway.stage import Stage
from tests.unit.wire.protobuf.test_round_trip import objects, without_nulls

from abyssal.wire.protobuf import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    StreamReader,
    decode_answer,
    decode_error,
    encode_request,
)

TYPE = b"Content-Type: application/x-protobuf\r\n"
WANTED = b"Accept: application/x-protobuf\r\n"
REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello"}],
    "x_unknown": {"of": 1},
}
BODY = json.dumps(REQUEST).encode()
DATA = encode_request(CHAT, BODY)
TEXT_LINE = b"POST /v1/completions HTTP/1.1\r\n"


def error_of(answer: Answer) -> dict[str, Any]:
    assert answer.header("content-type") == "application/x-protobuf"
    return json.loads(decode_error(answer.body))["error"]


def test_a_request_and_its_answer(stage: Stage) -> None:
    client = stage.client().send(chat(DATA, headers=TYPE + b"X-Other: 1\r\n"))
    request = stage.server.last.request
    assert request.json() == {**REQUEST, "model": "their-model"}
    assert (request.header("content-type"), request.header("accept")) == ("application/json", None)
    assert request.header("x-other") == "1"
    stage.server.last.answer()
    answer = client.answer()
    assert (answer.status, answer.header("content-type")) == (200, "application/x-protobuf")
    assert json.loads(decode_answer(CHAT, answer.body)) == json.loads(completion())
    assert stage.settled[0].prompt_tokens == 11


def test_either_side_may_be_json(stage: Stage) -> None:
    client = stage.client().send(chat(DATA, headers=TYPE + b"Accept: application/json\r\n"))
    stage.server.last.answer()
    assert client.answer().json() == json.loads(completion())
    client = stage.client().send(chat(BODY, headers=WANTED + b"Content-Type: application/json\r\n"))
    assert stage.server.last.requests[-1].header("accept") is None
    stage.server.last.answer()
    assert json.loads(decode_answer(CHAT, client.answer().body)) == json.loads(completion())


def test_text_completions(stage: Stage) -> None:
    data = encode_request(COMPLETIONS, b'{"model":"m","prompt":"hi","echo":true}')
    client = stage.client().send(chat(data, headers=TYPE, line=TEXT_LINE))
    stage.server.last.answer()
    body = json.loads(decode_answer(COMPLETIONS, client.answer().body))
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "hihello")


@pytest.mark.parametrize("path", [b"/v1/embeddings", b"/embeddings"])
def test_embeddings(stage: Stage, path: bytes) -> None:
    data = encode_request(EMBEDDINGS, b'{"model":"m","input":["a","b"],"encoding_format":"float"}')
    client = stage.client().send(chat(data, headers=TYPE, line=b"POST %b HTTP/1.1\r\n" % path))
    assert stage.server.last.request.json()["input"] == ["a", "b"]
    vectors = [{"object": "embedding", "index": at, "embedding": [0.1, -0.25, at]} for at in range(2)]
    body = {"object": "list", "data": vectors, "model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    stage.server.last.answer(json.dumps(body).encode())
    assert json.loads(decode_answer(EMBEDDINGS, client.answer().body)) == body


def test_embeddings_as_base64(stage: Stage) -> None:
    asked = {"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64"}
    data = encode_request(EMBEDDINGS, json.dumps(asked).encode())
    client = stage.client().send(chat(data, headers=TYPE, line=b"POST /v1/embeddings HTTP/1.1\r\n"))
    assert stage.server.last.request.json()["input"] == [[1, 2], [3]]
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
    stage.server.last.answer(json.dumps(body).encode())
    answer = json.loads(decode_answer(EMBEDDINGS, client.answer().body))
    assert answer["data"][0]["embedding"] == base64.b64encode(struct.pack("<f", 0.5)).decode()


def stream(
    stage: Stage, data: bytes, *events: bytes, line: bytes = b""
) -> tuple[Answer, list[bytes], StreamReader]:
    client = stage.client().send(chat(data, headers=TYPE, line=line))
    server = stage.server.last.begin_stream(b"cache-control: no-cache\r\n")
    for event in events:
        server.stream(event)
    server.end_stream()
    answer, reader = client.answer(), StreamReader()
    assert answer.header("content-type") == "application/x-protobuf"
    return answer, [event.data for event in reader.feed(answer.body)], reader


STREAMED = encode_request(CHAT, json.dumps({**REQUEST, "stream": True}).encode())


def test_a_stream(stage: Stage) -> None:
    sent = [chunk("hel"), chunk("lo"), LAST]
    answer, got, reader = stream(stage, STREAMED, *sent, DONE)
    assert answer.header("cache-control") == "no-cache"
    assert got.pop() == b"[DONE]"
    expected = [json.loads(event.removeprefix(b"data: ")) for event in sent]
    for one in expected:
        one["choices"] = [{k: v for k, v in choice.items() if v is not None} for choice in one["choices"]]
    assert [json.loads(data) for data in got] == expected
    assert (reader.ended, reader.midway) == (True, False)
    assert stage.settled[0].prompt_tokens == 11


def test_a_stream_of_text(stage: Stage) -> None:
    data = encode_request(COMPLETIONS, b'{"model":"m","prompt":"hi","stream":true}')
    _, got, _ = stream(stage, data, chunk("hel"), chunk("lo"), LAST, DONE, line=TEXT_LINE)
    assert "".join(json.loads(data)["choices"][0]["text"] for data in got[:-1]) == "hello"
    assert got[-1] == b"[DONE]"


def test_a_stream_that_breaks_ends_in_an_error(stage: Stage) -> None:
    _, got, reader = stream(stage, STREAMED, chunk("hel"))
    assert json.loads(got[-1])["error"]["code"] == "upstream_ended_early"
    assert reader.ended
    assert stage.settled[0].code == "upstream_ended_early"


def test_a_stream_whose_chunk_cannot_be_read(stage: Stage) -> None:
    _, got, reader = stream(stage, STREAMED, chunk("hel"), b"data: {nonsense", chunk("lo"), LAST, DONE)
    assert len(got) == 2
    assert json.loads(got[-1])["error"]["code"] == "upstream_garbage"
    assert reader.ended


def test_a_silent_stream_is_kept_open(stage: Stage) -> None:
    client = stage.client().send(chat(STREAMED, headers=TYPE))
    stage.server.last.begin_stream()
    stage.pass_time(31)
    (answer,) = client.answers()
    assert answer.body == b"\0\0"
    assert StreamReader().feed(answer.body) == []


def test_an_answer_larger_than_what_is_held(stage: Stage) -> None:
    body = completion("hello " * 200_000)
    client = stage.client().send(chat(DATA, headers=TYPE))
    stage.server.last.answer(body, size=100_000)
    assert json.loads(decode_answer(CHAT, client.answer().body)) == json.loads(body)


def test_compressed_both_ways(stage: Stage) -> None:
    codings = b"Content-Encoding: gzip\r\nAccept-Encoding: gzip\r\n"
    client = stage.client().send(chat(gzip.compress(DATA), headers=TYPE + codings))
    assert stage.server.last.request.json()["messages"] == REQUEST["messages"]
    body = completion("hello " * 400)
    stage.server.last.answer(body)
    answer = client.answer()
    assert answer.header("content-encoding") == "gzip"
    assert json.loads(decode_answer(CHAT, gzip.decompress(answer.body))) == json.loads(body)


def test_errors_are_messages_with_the_same_status(stage: Stage) -> None:
    stranger = chat(DATA, headers=TYPE).replace(KEY.encode(), b"sk-nobody")
    answer = stage.client().send(stranger).answer()
    assert (answer.status, error_of(answer)["type"]) == (401, "authentication_error")
    assert answer.header("www-authenticate") is not None
    unknown = encode_request(CHAT, json.dumps({**REQUEST, "model": "none"}).encode())
    answer = stage.client().send(chat(unknown, headers=TYPE)).answer()
    assert (answer.status, error_of(answer)["code"], error_of(answer)["param"]) == (
        404,
        "model_not_found",
        "model",
    )
    client = stage.client().send(chat(DATA, headers=TYPE))
    stage.server.last.answer(b'{"error":{"message":"busy","type":"t","param":null,"code":null}}', 503)
    answer = client.answer()
    assert (answer.status, error_of(answer)) == (503, {"message": "busy", "type": "t"})


def test_an_answer_that_is_not_json_enough(stage: Stage) -> None:
    client = stage.client().send(chat(DATA, headers=TYPE))
    stage.server.last.answer(b"[1]", headers=b"content-encoding: identity\r\n")
    answer = client.answer()
    assert (answer.status, error_of(answer)["code"]) == (502, "upstream_garbage")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (DATA[:-1], "invalid_protobuf", "extra"),
        (BODY, "invalid_protobuf", None),
        (b"\x08\x01", "invalid_protobuf", "model"),
        (b"\x0a\x01\xff", "invalid_utf8", "model"),
        (b"\x0a\x01m", "missing_field", "messages"),
        (DATA + b"\x39" + bytes(6) + b"\x10\x40", "invalid_value", "temperature"),
        (DATA + b"\xc2\x01\x81\x01" + b"[" * 129, "invalid_json", "tool_choice"),
        (DATA + b"\xc2\x01\x84\x02" + b"[" * 130 + b"]" * 130, "nested_too_deeply", None),
        (b"\x12\x00" * 200_001, "too_many_fields", None),
    ],
)
@pytest.mark.parametrize("accept", [b"", b"Accept: application/json\r\n"])
def test_bad_bytes_are_a_400(stage: Stage, body: bytes, code: str, param: str | None, accept: bytes) -> None:
    client = stage.client().send(chat(body, headers=TYPE + accept))
    answer = client.answer()
    error = answer.error if accept else error_of(answer)
    assert (answer.status, error["code"], error.get("param")) == (400, code, param)
    assert not client.gone
    assert stage.server.connections == []
    assert stage.refused[0].status == 400


def test_a_request_without_a_body_may_say_what_type_it_would_have(stage: Stage) -> None:
    """HTTP libraries send their default headers with every request."""
    listing = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n%b\r\n" % (
        KEY.encode(),
        TYPE,
    )
    answer = stage.client().send(listing).answer()
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.json()["object"] == "list"


def test_nothing_of_it_is_loaded_before_it_is_needed() -> None:
    program = "import sys, abyssal.gateway.worker; print([n for n in sys.modules if 'protobuf' in n or 'zstd' in n])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# ---- the same call in both forms ---------------------------------------------------------------------------

LIKELY = st.fixed_dictionaries(
    {"model": st.sampled_from(["m", "none", ""])},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant", "system", "tool", "nobody"])},
                optional={"content": st.none() | st.text(max_size=5), "tool_call_id": st.text(max_size=3)},
            ),
            max_size=3,
        ),
        "stream": st.booleans() | st.none(),
        "temperature": st.floats(-1, 3) | st.integers(-1, 3),
        "stop": st.text(max_size=2) | st.lists(st.text(max_size=2), max_size=3),
        "logit_bias": st.dictionaries(st.text(max_size=3), st.integers(-120, 120), max_size=2),
        "tools": st.lists(
            st.just({"type": "function", "function": {"name": "f", "parameters": {"n": 1.5}}}), max_size=2
        ),
        "tool_choice": st.sampled_from(
            ["auto", "none", "wrong", {"type": "function", "function": {"name": "f"}}]
        ),
    },
)


def outcome(stage: Stage, request: bytes, answer: bytes, read: Callable[[Answer], Any]) -> tuple[Any, Any]:
    """What the upstream is sent, None when it is not asked, and what the client gets."""
    asked = len(stage.server.requests)
    client = stage.client().send(request)
    sent = None
    if len(stage.server.requests) > asked:
        sent = stage.server.last.requests[-1].json()
        stage.server.last.answer(answer)
    got = client.answer()
    client.leave()
    return sent, (got.status, read(got))


def test_json_and_protobuf_give_the_same_answer(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(LIKELY | st.builds(lambda a, b: {**a, **b}, objects(CHAT.request), LIKELY), objects(CHAT.answer))
    def same(request: dict[str, Any], given_answer: dict[str, Any]) -> None:
        if isinstance(request.get("conversation_id"), str):
            del request["conversation_id"]  # nobody here keeps conversations, so its call would wait
        body, answer = json.dumps(request).encode(), json.dumps(given_answer).encode()
        in_json = outcome(stage, chat(body), answer, lambda got: plain(got.json(), got.status))
        data = encode_request(CHAT, body)
        in_protobuf = outcome(
            stage, chat(data, headers=TYPE), answer, lambda got: plain(message(got), got.status)
        )
        assert in_protobuf == in_json

    same()


def message(answer: Answer) -> Any:
    return json.loads(decode_answer(CHAT, answer.body) if answer.status == 200 else decode_error(answer.body))


def plain(body: dict[str, Any], status: int) -> Any:
    """What must be the same: of several mistakes in one request another one may be named first."""
    return without_nulls(body, CHAT.answer) if status == 200 else body["error"]["type"]
