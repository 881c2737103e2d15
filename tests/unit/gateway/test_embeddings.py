"""Embeddings through the whole gateway: who is asked what, what comes back, what is refused and booked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from abyssal.gateway.link import EmbeddingPoint, EnginePoint
from abyssal.stores.rights import ALL_SCOPES, BITS
from abyssal.stores.snapshot import ProjectRecord
from abyssal.wire.vectors import packed

from .messages import chat, get
from .stage import Client, Stage

TABLE = """
[[upstreams]]
name = "open"
kind = "openai"
base_url = "http://open.test/base"
api_key = "upstream-secret"
[[upstreams]]
name = "cloud"
kind = "deepseek"
base_url = "http://cloud.test"
[[upstreams]]
name = "engine"
kind = "engine"
slots = 1
queue = 1
[[models]]
name = "m"
targets = [{ upstream = "open", model = "their-model" }]
[[models]]
name = "official"
targets = [{ upstream = "cloud" }]
[[models]]
name = "local"
targets = [{ upstream = "engine", model = "tiny" }]
"""
ENGINE = EnginePoint("/e.sock", "tiny-1", embedding=EmbeddingPoint("/ev.sock", 4, 8))
VECTOR = [0.5, 0.5, 0.5, 0.5]


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    made = make_stage(TABLE, engine=ENGINE)
    made.gateway.upstreams["engine"].available = True
    return made


def ask(stage: Stage, body: bytes | None = None, path: str = "/v1/embeddings", **fields: Any) -> Client:
    body = json.dumps({"model": "m", "input": "hi"} | fields).encode() if body is None else body
    return stage.client().send(chat(body, line=b"POST %b HTTP/1.1\r\n" % path.encode()))


def answer_of(vector: Any, usage: Any = None, **fields: Any) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 3, "total_tokens": 3} if usage is None else usage
    return json.dumps({"object": "list", "data": data, "usage": usage} | fields).encode()


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_bytes_pass_but_for_the_model_s_name(stage: Stage, path: str) -> None:
    client = ask(stage, b'{ "input":["a"],  "model":"m","new":[1.50]}', path)
    asked = stage.server.last.request
    assert asked.body == b'{ "input":["a"],  "model":"their-model","new":[1.50]}'
    assert asked.target == "/base/embeddings"
    assert asked.header("authorization") == "Bearer upstream-secret"
    said = b'{"data":[ {"embedding":[1.0,2.50]}],"usage":{"prompt_tokens":3,"total_tokens":3},"x":1 }'
    stage.server.last.answer(said)
    assert client.answer().body == said
    (settled,) = stage.settled
    assert (settled.model, settled.status, settled.stream) == ("m", 200, False)
    assert (settled.prompt_tokens, settled.completion_tokens, settled.estimated) == (3, 0, False)


@pytest.mark.parametrize(
    ("fields", "came", "given"),
    [
        ({}, VECTOR, VECTOR),
        ({}, packed(VECTOR), packed(VECTOR)),
        ({"encoding_format": "base64"}, packed(VECTOR), packed(VECTOR)),
        ({"encoding_format": "base64"}, VECTOR, packed(VECTOR)),
        ({"dimensions": 2}, VECTOR, [pytest.approx(0.5**0.5)] * 2),
        ({"dimensions": 2, "encoding_format": "base64"}, VECTOR, packed([0.5**0.5] * 2)),
        ({"dimensions": 4}, VECTOR, VECTOR),
    ],
)
def test_vectors_come_as_asked(stage: Stage, fields: Any, came: Any, given: Any) -> None:
    client = ask(stage, **fields)
    stage.server.last.answer(answer_of(came))
    answer = client.answer()
    assert (answer.status, answer.json()["data"][0]["embedding"]) == (200, given)


def test_a_large_answer_passes_in_pieces_where_nothing_is_to_be_done(stage: Stage) -> None:
    client = ask(stage, encoding_format="base64")
    large = answer_of("A" * 600_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(large)
    stage.server.last.say(head + large[:550_000])
    assert len(client.bytes) > 540_000
    stage.server.last.say(large[550_000:])
    assert client.answer().body == large
    assert stage.settled[0].prompt_tokens == 3


def test_a_large_answer_is_held_where_it_must_be_made_anew(stage: Stage) -> None:
    client = ask(stage, encoding_format="base64")
    vector = [0.25] * 150_000
    stage.server.last.answer(answer_of(vector), size=50_000)
    assert client.answer().json()["data"][0]["embedding"] == packed(vector)
    assert stage.settled[0].prompt_tokens == 3


@pytest.mark.parametrize("fields", [{"encoding_format": "base64"}, {}])
def test_usage_is_found_in_front_of_a_large_answer(stage: Stage, fields: Any) -> None:
    client = ask(stage, **fields)
    usage = b'"usage":{"prompt_tokens":7,"total_tokens":7}'
    data = b'[{"embedding":[' + b"0.5," * 150_000 + b"0.5]}]"
    stage.server.last.answer(b"{" + usage + b',"data":' + data + b"}", size=50_000)
    assert client.answer().status == 200
    assert (stage.settled[0].prompt_tokens, stage.settled[0].estimated) == (7, False)


@pytest.mark.parametrize("said", [b'{"data":[{"embedding":["x"]}]}', b'{"data":7,"x":[{"embedding":[1]}]}'])
def test_what_cannot_be_made_as_asked_is_a_bad_gateway(stage: Stage, said: bytes) -> None:
    client = ask(stage, encoding_format="base64")
    stage.server.last.answer(said)
    assert (client.answer().status, client.answer().error["code"]) == (502, "upstream_garbage")


def test_an_error_passes(stage: Stage) -> None:
    client = ask(stage, dimensions=2)
    stage.server.last.answer(b'{"error":{"message":"no dimensions","type":"t","param":null,"code":"c"}}', 400)
    assert (client.answer().status, client.answer().error["message"]) == (400, "no dimensions")


def test_the_engine_is_asked_at_its_socket_for_vectors_only_what_it_knows(stage: Stage) -> None:
    client = ask(stage, model="local", input=["a", "b"], user="ada", unknown=1)
    assert stage.server.last.address == "/ev.sock"
    assert stage.server.last.request.json() == {"model": "tiny", "input": ["a", "b"]}
    stage.server.last.answer(answer_of(VECTOR))
    assert client.answer().json()["data"][0]["embedding"] == VECTOR


@pytest.mark.parametrize("fields", [{"encoding_format": "base64"}, {"dimensions": 2}])
def test_the_engine_writes_base64_where_it_is_of_use(stage: Stage, fields: Any) -> None:
    client = ask(stage, model="local", **fields)
    assert stage.server.last.request.json()["encoding_format"] == "base64"
    stage.server.last.answer(answer_of(packed(VECTOR)))
    vector = client.answer().json()["data"][0]["embedding"]
    assert vector == (packed(VECTOR) if "encoding_format" in fields else pytest.approx([0.5**0.5] * 2))


BY_THE_ENGINE: list[tuple[dict[str, Any], str, str, str]] = [
    ({"dimensions": 5}, "dimensions", "invalid_value",
     '"dimensions": 5, but the vectors of "local" have 4; ask for that many or fewer.'),
    ({"input": "x " * 129}, "input", "context_length_exceeded",
     '"input" has 258 bytes, and this model embeds at most 8 tokens at once; send it in parts.'),
    ({"input": ["a", "x " * 129]}, "input[1]", "context_length_exceeded",
     '"input[1]" has 258 bytes, and this model embeds at most 8 tokens at once; send it in parts.'),
    ({"input": [1] * 9}, "input", "context_length_exceeded",
     '"input" has 9 tokens, and this model embeds at most 8 tokens at once; send it in parts.'),
    ({"input": [[1], [1] * 9]}, "input[1]", "context_length_exceeded",
     '"input[1]" has 9 tokens, and this model embeds at most 8 tokens at once; send it in parts.'),
]  # fmt: skip


@pytest.mark.parametrize("case", BY_THE_ENGINE)
def test_what_the_engine_is_not_asked(stage: Stage, case: tuple[dict[str, Any], str, str, str]) -> None:
    fields, param, code, message = case
    answer = ask(stage, model="local", **fields).answer()
    assert answer.status == 400
    assert (answer.error["param"], answer.error["code"], answer.error["message"]) == (param, code, message)
    assert not stage.server.connections


def test_an_input_that_the_engine_finds_too_long_is_the_caller_s_fault(stage: Stage) -> None:
    client = ask(stage, model="local", input="a b c d e f g h i j")
    stage.server.last.answer(
        b'{"error":{"code":500,"message":"input (10 tokens) is too large to process. increase the physical '
        b'batch size (current batch size: 8)","type":"server_error"}}',
        500,
    )
    answer = client.answer()
    assert (answer.status, answer.error["param"], answer.error["code"]) == (
        400, "input", "context_length_exceeded",
    )  # fmt: skip
    assert "10 tokens" in answer.error["message"]
    assert stage.settled[0].status == 400


def test_chats_and_embeddings_of_an_engine_have_queues_of_their_own(stage: Stage) -> None:
    for _ in range(2):
        ask(stage, model="local")
    refused = ask(stage, model="local").answer()
    assert (refused.status, refused.error["code"]) == (503, "queue_full")
    stage.client().ask(model="local")
    assert stage.server.last.address == "/e.sock"
    stage.gateway.upstreams["engine"].available = False
    assert ask(stage, model="local").answer().error["code"] == "upstream_unavailable"


@pytest.mark.parametrize("engine", [ENGINE, EnginePoint("/e.sock", "tiny-1")])
def test_a_model_without_embeddings_is_told_those_that_have(
    make_stage: Callable[..., Stage], engine: EnginePoint
) -> None:
    stage = make_stage(TABLE, engine=engine)
    stage.gateway.upstreams["engine"].available = True
    answer = ask(stage, model="official").answer()
    able = "m, local" if engine is ENGINE else "m"
    assert answer.status == 400
    assert answer.error == {
        "message": f'The model "official" has no embeddings; ask one of {able}.',
        "type": "invalid_request_error",
        "param": "model",
        "code": "no_embeddings",
    }
    assert stage.refused[0].model == "official"
    assert (ask(stage, model="local").bytes == b"") is (engine is ENGINE)


def test_where_no_model_has_any(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(kind="deepseek")
    assert ask(stage).answer().error["message"] == 'The model "m" has no embeddings; no model here has any.'


def test_an_unknown_model(stage: Stage) -> None:
    answer = ask(stage, model="loca").answer()
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


def test_the_scope_is_one_of_its_own(stage: Stage) -> None:
    for scopes, status in ((BITS["chat"], 403), (ALL_SCOPES & ~BITS["embeddings"], 403)):
        stage.take(projects=(ProjectRecord("proj_1", "org_1", scopes, None, (), True),))
        answer = ask(stage).answer()
        assert (answer.status, answer.error["code"]) == (status, "scope_missing")
        assert "`embeddings`" in answer.error["message"]
    stage.take(projects=(ProjectRecord("proj_1", "org_1", BITS["embeddings"], None, (), True),))
    assert ask(stage).bytes == b""
    assert stage.client().ask().answer().status == 403


def test_the_model_list_holds(stage: Stage) -> None:
    stage.take(projects=(ProjectRecord("proj_1", "org_1", ALL_SCOPES, ("official",), (), True),))
    assert ask(stage).answer().error["code"] == "model_not_allowed"


def test_what_is_malformed_and_a_coding_that_is_not_known(stage: Stage) -> None:
    answer = ask(stage, b'{"model":"m","input":[]}').answer()
    assert (answer.status, answer.error["param"]) == (400, "input")
    body = chat(b"{}", b"content-encoding: br\r\n", b"POST /v1/embeddings HTTP/1.1\r\n")
    assert stage.client().send(body).answer().status == 415
    assert stage.client().send(get("/v1/embeddings")).answer().status == 405


def test_a_client_that_leaves_lets_the_upstream_go(stage: Stage) -> None:
    client = ask(stage, encoding_format="base64")
    client.leave()
    assert stage.server.last.closed
    assert stage.settled[0].status == 499


def test_an_upstream_that_breaks_in_the_middle_of_a_large_answer(stage: Stage) -> None:
    client = ask(stage, encoding_format="base64")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n"
    stage.server.last.say(head + answer_of([0.5] * 150_000))
    stage.server.last.close()
    assert client.gone
    assert stage.settled[0].status == 502
