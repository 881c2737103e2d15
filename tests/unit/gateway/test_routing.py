"""Which upstream answers, and what a client is told when none does; the routes that need none."""

from __future__ import annotations

import json

import pytest

from .messages import KEY, chat, completion, get
from .stage import Stage

ENGINE = '[[upstreams]]\nname = "engine"\nkind = "engine"\nslots = 1\nqueue = 1\n'
TWO = (
    '[[upstreams]]\nname = "a"\nkind = "openai"\nbase_url = "http://a.test"\n'
    '[[upstreams]]\nname = "b"\nkind = "deepseek"\nbase_url = "http://b.test:81"\n'
    '[[models]]\nname = "deepseek-chat"\ntargets = [{ upstream = "a", model = "their-chat" }]\n'
    '[[models]]\nname = "deepseek-reasoner"\ntargets = [{ upstream = "b" }]\n'
    '[[models]]\nname = "org/model"\nowned_by = "org"\ntargets = [{ upstream = "b" }, { upstream = "a" }]\n'
)


@pytest.mark.parametrize(
    ("name", "address", "asked"),
    [
        ("deepseek-chat", "a.test:80", "their-chat"),
        ("deepseek-reasoner", "b.test:81", "deepseek-reasoner"),
        ("org/model", "b.test:81", "org/model"),
    ],
)
def test_the_table_says_who_answers(make_stage: object, name: str, address: str, asked: str) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    stage.client().ask(model=name)
    assert stage.server.last.address == address
    assert stage.server.last.request.json()["model"] == asked
    assert stage.records[0].model == name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("deepseek-chta", "deepseek-chat"),
        ("DeepSeek-Reasoner", "deepseek-reasoner"),
        ("gpt-4o", "org/model"),
        ("模型", "deepseek-chat"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(make_stage: object, name: str, near: str) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    answer = stage.client().ask(model=name).answer()
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert near in answer.error["message"]
    assert f'"{name}"' in answer.error["message"]
    (refused,) = stage.refused
    assert (refused.model, refused.status) == (name, 404)
    assert stage.gateway.caps.in_flight == 0


def test_a_very_long_unknown_name_is_cut(make_stage: object) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    answer = stage.client().ask(model="\U0001f40b" * 256).answer()
    assert answer.status == 404
    assert len(answer.error["message"]) < 400


def test_an_engine_is_not_available_until_it_is_said_to_be(make_stage: object) -> None:
    stage: Stage = make_stage(ENGINE + '[[models]]\nname="m"\ntargets=[{upstream="engine"}]\n')  # type: ignore[operator]
    answer = stage.client().ask().answer()
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert answer.header("retry-after") == "1"
    assert stage.client().send(get("/readyz")).answer().status == 503
    stage.upstream.available = True
    assert stage.client().send(get("/readyz")).answer().json() == {
        "status": "ready",
        "upstreams": {"engine": "ready"},
    }
    client = stage.client().ask()
    assert stage.server.last.address == "/engine.sock"
    stage.server.last.answer()
    assert client.answer().status == 200


def test_a_full_queue_refuses_and_frees_itself(make_stage: object) -> None:
    stage: Stage = make_stage(ENGINE + '[[models]]\nname="m"\ntargets=[{upstream="engine"}]\n')  # type: ignore[operator]
    stage.upstream.available = True
    first, second, third = (stage.client().ask() for _ in range(3))
    assert (third.answer().status, third.answer().error["code"]) == (503, "queue_full")
    assert third.answer().header("retry-after") == "1"
    first.leave()
    third.ask()
    for connection in stage.server.connections[1:]:
        connection.answer()
    assert second.answer().status == 200
    assert third.answers()[1].status == 200


# Local routes


def test_the_models_are_listed(make_stage: object) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    for path in ("/v1/models", "/models"):
        listing = stage.client().send(get(path)).answer().json()
        assert listing["object"] == "list"
        assert [(one["id"], one["owned_by"]) for one in listing["data"]] == [
            ("deepseek-chat", "deepseek"),
            ("deepseek-reasoner", "deepseek"),
            ("org/model", "org"),
        ]
        assert {one["object"] for one in listing["data"]} == {"model"}


@pytest.mark.parametrize("path", ["/v1/models/deepseek-chat", "/models/org/model", "/v1/models/org%2Fmodel"])
def test_one_model(make_stage: object, path: str) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    answer = stage.client().send(get(path)).answer()
    assert answer.status == 200
    assert answer.json()["id"] in ("deepseek-chat", "org/model")


@pytest.mark.parametrize(
    "path", ["/v1/models/nothing", "/v1/models/", "/models/%ff%00", "/v1/models/" + "x" * 3000]
)
def test_no_such_model(make_stage: object, path: str) -> None:
    stage: Stage = make_stage(TWO)  # type: ignore[operator]
    answer = stage.client().send(get(path)).answer()
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert len(answer.error["message"]) < 300


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models/m"])
def test_models_are_for_those_with_a_key(stage: Stage, path: str) -> None:
    request = get(path).replace(KEY.encode(), b"sk-nobody-knows-this-one")
    assert stage.client().send(request).answer().status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_for_everybody(stage: Stage, path: str) -> None:
    answer = stage.client().send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()).answer()
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"


def test_not_ready_before_the_keys_are_known(make_stage: object) -> None:
    stage: Stage = make_stage()  # type: ignore[operator]
    stage.gateway.published = False
    answer = stage.client().send(get("/readyz")).answer()
    assert (answer.status, answer.json()["status"]) == (503, "starting")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/chat/completions", "POST"),
        ("HEAD", "/chat/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ],
)
def test_the_wrong_method(stage: Stage, method: str, path: str, allowed: str) -> None:
    answer = stage.client().send(get(path, method=method)).answer(method)
    assert answer.status == 405
    assert answer.header("allow") == allowed


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions?beta=true"]
)
def test_both_paths_and_any_query_take_calls(stage: Stage, path: str) -> None:
    client = stage.client().send(chat(line=b"POST %b HTTP/1.1\r\n" % path.encode()))
    stage.server.last.answer()
    assert client.answer().body == completion()


@pytest.mark.parametrize("coding", [b"br", b"identity, gzip", b"gzip, gzip", b"compress", b"gzip;q=1"])
def test_a_coding_that_is_not_known_is_refused(stage: Stage, coding: bytes) -> None:
    client = stage.client().send(chat(headers=b"Content-Encoding: " + coding + b"\r\n"))
    assert client.answer().status == 415
    assert client.answer().header("accept-encoding") == "gzip, deflate, zstd"
    assert stage.server.connections == []


def test_a_body_that_says_it_is_not_compressed_is_taken(stage: Stage) -> None:
    client = stage.client().send(chat(headers=b"Content-Encoding: Identity\r\n"))
    stage.server.last.answer()
    assert client.answer().status == 200


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model":"m"}', b'{"model":"m","messages":[],"model":"x"}']
)
def test_a_bad_body_is_refused_and_recorded(stage: Stage, body: bytes) -> None:
    client = stage.client().send(chat(body))
    assert client.answer().status == 400
    assert not client.gone
    (refused,) = stage.refused
    assert (refused.key_id, refused.status) == ("key_1", 400)


def test_a_stage_that_fails_is_a_500_and_not_a_closed_connection(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(exchange: object) -> bool:
        raise RuntimeError("sk-secret")

    stage.gateway.pipeline._recall = broken
    client = stage.client().ask()
    assert client.answer().status == 500
    assert "RuntimeError" in client.answer().error["message"]
    assert b"sk-secret" not in client.bytes
    assert "a stage failed" in caplog.text
    assert json.loads(client.answer().body)["error"]["type"] == "server_error"
