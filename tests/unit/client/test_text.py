"""Text completions, text routes and embeddings, blocking and asyncio, over both transports."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from abyssal import (
    BadRequestError,
    EmbeddingList,
    OpenAICompatibilityError,
    StreamInterruptedError,
    TextCompletion,
)

from .face import Face, opened_face
from .raw_server import DONE, RawServer, answer, error_body, stream


def text(said: str = " upon a time", **fields: Any) -> dict[str, Any]:
    choice = {"text": said, "index": 0, "logprobs": None, "finish_reason": "stop"}
    return {"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": [choice]} | fields


def part(said: str, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"text": said, "index": 0, "logprobs": None, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"id": "cmpl-1", "choices": [choice]} | fields) + b"\n\n"


def test_a_completion(server: RawServer, face: Face) -> None:
    server.will(answer(text(usage={"total_tokens": 7}), x_request_id="req-1"))
    given = face.run(face.client.completions.create(model="m", prompt="Once", echo=True, logprobs=2))
    assert type(given) is TextCompletion
    assert (given.text, given.choices[0].finish_reason, given.request_id) == (" upon a time", "stop", "req-1")
    assert given.usage is not None
    assert given.usage.total_tokens == 7
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/completions")
    assert request.json == {"model": "m", "prompt": "Once", "echo": True, "logprobs": 2}


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({"suffix": "\n"}, "/beta/completions"),
        ({"suffix": ""}, "/v1/completions"),
        ({"beta": True}, "/beta/completions"),
        ({"suffix": "\n", "beta": False}, "/v1/completions"),
    ],
)
def test_filling_a_gap(server: RawServer, given: dict[str, Any], target: str) -> None:
    server.will(answer(text()))
    with opened_face("sync-direct", server.url) as face:
        face.client.completions.create(model="m", prompt="def f():", **given)
    assert server.requests[0].target == target
    assert server.requests[0].json.get("suffix") == given.get("suffix")
    assert "beta" not in server.requests[0].json


def test_a_stream(server: RawServer, face: Face) -> None:
    usage = {"total_tokens": 7}
    server.will(stream(part(" upon"), part(" a", reasoning="x"), part(" time", "stop", usage=usage), DONE))
    opened = face.run(face.client.completions.create(model="m", prompt="Once", stream=True))
    assert face.next(opened).text == " upon"  # type: ignore[attr-defined]
    whole: Any = face.final(opened)
    assert type(whole) is TextCompletion
    assert (whole.text, whole.choices[0].finish_reason, whole.request_id) == (" upon a time", "stop", "req-7")
    assert whole.usage.total_tokens == 7
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].headers["accept"] == "text/event-stream"


def test_a_stream_that_is_cut(server: RawServer, face: Face) -> None:
    server.will(stream(part(" upon")))
    opened = face.run(face.client.completions.create(model="m", prompt="Once", stream=True))
    with pytest.raises(StreamInterruptedError):
        face.final(opened)
    assert opened.completion_so_far().text == " upon"


def test_log_probabilities_of_a_stream_stand_side_by_side(server: RawServer, face: Face) -> None:
    def probable(token: str, offset: int, finish: str | None = None) -> bytes:
        logprobs = {
            "tokens": [token],
            "token_logprobs": [-0.5],
            "top_logprobs": [{token: -0.5}],
            "text_offset": [offset],
        }
        choice = {"text": token, "index": 0, "logprobs": logprobs, "finish_reason": finish}
        return b"data: " + msgspec.json.encode({"choices": [choice]}) + b"\n\n"

    server.will(stream(probable("a", 0), probable("b", 1, "stop"), DONE))
    opened = face.run(face.client.completions.create(model="m", prompt="x", stream=True, logprobs=1))
    logprobs: Any = face.final(opened).choices[0].logprobs
    assert (logprobs.tokens, logprobs.text_offset) == (["a", "b"], [0, 1])
    assert logprobs.top_logprobs == [{"a": -0.5}, {"b": -0.5}]


@pytest.mark.parametrize(
    ("method", "target"), [("generate", "/v1/text/generate"), ("complete", "/v1/text/completion")]
)
def test_the_text_routes(server: RawServer, face: Face, method: str, target: str) -> None:
    server.will(
        answer(text("# Hi", conversation_id="conv-1")), stream(part("# ", conversation_id="c"), DONE), DONE
    )
    call = getattr(face.client.text, method)
    given = face.run(call("Greet", temperature=0.5, language="zh-CN"))
    assert (given.text, given.conversation_id) == ("# Hi", "conv-1")
    assert server.requests[0].target == target
    assert server.requests[0].json == {"prompt": "Greet", "temperature": 0.5, "language": "zh-CN"}
    whole: Any = face.final(face.run(call(prompt="Greet", model="m", stream=True)))
    assert (whole.text, whole.conversation_id) == ("# ", "c")
    assert server.requests[1].json == {"prompt": "Greet", "model": "m", "stream": True}


@pytest.mark.parametrize(
    ("path", "text_target", "beta_target"),
    [
        ("", "/v1/text/generate", "/beta/completions"),
        ("/v1", "/v1/text/generate", "/beta/completions"),
        ("/proxy/v1", "/proxy/v1/text/generate", "/proxy/beta/completions"),
        ("/beta", "/beta/text/generate", "/beta/completions"),
    ],
)
def test_below_any_base_url(server: RawServer, path: str, text_target: str, beta_target: str) -> None:
    server.will(answer(text()))
    with opened_face("sync-direct", server.url.removesuffix("/v1") + path) as face:
        face.client.text.generate("x")
        face.client.completions.create(model="m", prompt="x", suffix="y")
        face.client.completions.create(model="m", prompt="x", suffix="y", extra_headers={"x-a": "b"})
    assert [request.target for request in server.requests] == [text_target, beta_target, beta_target]


def test_the_raw_answer(server: RawServer, face: Face) -> None:
    server.will(answer(text(), x_a="b"))
    raw = face.run(face.client.completions.with_raw_response.create(model="m", prompt="Once"))
    assert (raw.status, raw.headers["x-a"], raw.parse().text) == (200, "b", " upon a time")


@pytest.mark.parametrize(
    "content", [b"{}", b'{"choices":[]}', b"<html>", b"[1]", b'{"choices":[{"text":3}]}']
)
def test_what_is_no_completion(server: RawServer, content: bytes) -> None:
    server.will(answer(content))
    with opened_face("sync-direct", server.url) as face, pytest.raises(OpenAICompatibilityError):
        face.client.completions.create(model="m", prompt="Once")


def test_an_error_behind_a_good_status(server: RawServer, face: Face) -> None:
    server.will(answer(error_body("too long", code="context_length_exceeded", type="invalid_request_error")))
    with pytest.raises(BadRequestError, match="too long"):
        face.run(face.client.text.generate("x"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.completions.create(model="m"), "create() needs prompt"),
        (lambda client: client.completions.create(model="m", prompt="x", sufix="y"), "did you mean suffix?"),
        (lambda client: client.text.generate("x", temprature=1), "generate() has no argument 'temprature'"),
        (lambda client: client.text.complete("x", extra_body={"stream": True}), "stream=True to complete()"),
        (lambda client: client.embeddings.create(input="x"), "create() needs model"),
        (lambda client: client.embeddings.create(model="m", inputs="x"), "did you mean input?"),
        (lambda client: client.models.list(time_out=3), "did you mean timeout?"),
    ],
)
def test_arguments_that_do_not_exist(server: RawServer, call: Any, words: str) -> None:
    with opened_face("sync-direct", server.url) as face, pytest.raises(TypeError) as caught:
        call(face.client)
    assert words in str(caught.value)
    assert server.requests == []


# Embeddings


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def vectors(*values: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": place, "embedding": value} for place, value in values]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}}


def test_embeddings_travel_packed_and_come_as_floats(server: RawServer, face: Face) -> None:
    server.will(answer(vectors((1, packed(0.5, -2.0)), (0, packed(1.0, 0.25))), x_request_id="req-1"))
    given = face.run(face.client.embeddings.create(model="m", input=["a", "b"], dimensions=2))
    assert type(given) is EmbeddingList
    assert [(one.index, one.embedding) for one in given] == [(0, [1.0, 0.25]), (1, [0.5, -2.0])]
    assert (len(given), given.usage.prompt_tokens, given.request_id) == (2, 4, "req-1")
    request = server.requests[0]
    assert request.target == "/v1/embeddings"
    assert request.json == {"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64"}


def test_embeddings_as_numbers(server: RawServer, face: Face) -> None:
    server.will(answer(vectors((0, [1, 0.25]))))
    given = face.run(face.client.embeddings.create(model="m", input="a", encoding_format="float"))
    assert given.data[0].embedding == [1.0, 0.25]
    assert server.requests[0].json["encoding_format"] == "float"


@pytest.mark.parametrize("value", ["!!!!", "AAA", "AAAAAAA=", None, {}])
def test_what_is_no_embedding(server: RawServer, value: Any) -> None:
    server.will(answer(vectors((0, value))))
    with opened_face("sync-direct", server.url) as face, pytest.raises(OpenAICompatibilityError):
        face.client.embeddings.create(model="m", input="a")
