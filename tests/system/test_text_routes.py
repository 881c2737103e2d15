"""Completions and text routes of a running server: the unchanged OpenAI SDK, plain HTTP, and the embedded engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.unit.engine.gguf_heads import with_infill_tokens

from abyssal.engine.bundled import bundled_path
from abyssal.testing import Answer, RawConnection, RunningServer, WireResponse

from .calls import Gateway, events, table

ANSWERED = {
    "id": "cmpl-9",
    "object": "text_completion",
    "created": 7,
    "model": "upstream-model",
    "choices": [{"text": "return 1", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
}


def post(server: RunningServer, path: str, **fields: Any) -> WireResponse:
    body = json.dumps(fields).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {server.api_key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with RawConnection(server.url, timeout=20) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        return connection.read_response()


def client_of(server: RunningServer, path: str = "/v1") -> OpenAI:
    return OpenAI(api_key=server.api_key, base_url=server.url + path, max_retries=0, timeout=20)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with client_of(gateway.server) as client:
        yield client


@pytest.mark.parametrize("model", ["open", "official"])
def test_the_sdk_s_plain_completion(gateway: Gateway, client: OpenAI, model: str) -> None:
    gateway.upstream.enqueue(Answer.chat(" upon a time", reasoning="A tale."))
    answer = client.completions.create(
        model=model,
        prompt="Once",
        max_tokens=9,
        echo=True,
        frequency_penalty=0.5,
        seed=3,
        stop=["\n"],
        user="ada",
    )
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    choice = answer.choices[0]
    assert (choice.text, choice.index, choice.finish_reason) == ("Once upon a time", 0, "stop")
    assert choice.reasoning == "A tale."  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    asked = gateway.upstream.requests[-1]
    assert asked.path == "/v1/chat/completions"
    assert asked.json() == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Once"}],
        "max_tokens": 9,
        "temperature": 0.7,
        "stop": ["\n"],
        "seed": 3,
        "frequency_penalty": 0.5,
        "user": "ada",
    }


@pytest.mark.parametrize("include_usage", [None, False, True])
@pytest.mark.parametrize("model", ["open", "official"])
def test_the_sdk_s_stream(gateway: Gateway, client: OpenAI, model: str, include_usage: bool | None) -> None:
    style = "openai" if model == "open" else "official"
    gateway.upstream.enqueue(
        Answer.chat_stream([" upon", " a", " time"], reasoning=["Hm"], usage_style=style)
    )
    options: Any = {} if include_usage is None else {"stream_options": {"include_usage": include_usage}}
    with client.completions.create(model=model, prompt="Once", stream=True, echo=True, **options) as stream:
        parts = list(stream)
    assert "".join(part.choices[0].text for part in parts) == "Once upon a time"
    assert parts[-1].choices[0].finish_reason == "stop"
    assert parts[-1].usage is not None
    assert len({(part.id, part.object, part.created, part.model) for part in parts}) == 1
    assert ("usage" in parts[0].model_fields_set) is bool(include_usage)


def test_the_sdk_s_logprobs(gateway: Gateway, client: OpenAI) -> None:
    token = {
        "token": "Hi",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "Yo", "logprob": -1.5}],
    }
    choice = {
        "index": 0,
        "message": {"content": "Hi"},
        "finish_reason": "stop",
        "logprobs": {"content": [token]},
    }
    gateway.upstream.enqueue(Answer.json({"id": "x", "choices": [choice]}))
    answer = client.completions.create(model="open", prompt="Say", logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset) == (["Hi"], [-0.5], [0])
    assert logprobs.top_logprobs == [{"Yo": -1.5}]


@pytest.mark.parametrize("path", ["/beta", "/v1"])
@pytest.mark.parametrize(
    ("model", "target"), [("official", "/beta/completions"), ("open", "/v1/completions")]
)
def test_filling_in_is_the_upstream_s_own_matter(
    gateway: Gateway, model: str, target: str, path: str
) -> None:
    gateway.upstream.enqueue(Answer.json(ANSWERED))
    with client_of(gateway.server, path) as client:
        answer = client.completions.create(model=model, prompt="def one(): ", suffix="\n", max_tokens=8)
    assert answer.to_dict() == ANSWERED
    asked = gateway.upstream.requests[-1]
    assert asked.path == target
    assert asked.json() == {
        "model": "upstream-model",
        "prompt": "def one(): ",
        "suffix": "\n",
        "max_tokens": 8,
    }
    assert gateway.settled(answer._request_id or "")["completion_tokens"] == 3


def test_filling_in_streams(gateway: Gateway) -> None:
    choice = {"text": "x", "index": 0, "logprobs": None, "finish_reason": None}
    usage = ANSWERED["usage"]
    sent: list[Any] = [
        ANSWERED | {"choices": [choice]},
        ANSWERED | {"choices": [choice | {"finish_reason": "stop"}]},
    ]
    del sent[0]["usage"], sent[1]["usage"]
    sent.append(ANSWERED | {"choices": []})
    lines = [f"data: {json.dumps(item)}\n\n" for item in sent]
    gateway.upstream.enqueue(Answer.events([*lines, "data: [DONE]\n\n"]))
    with client_of(gateway.server, "/beta") as client:
        parts = list(client.completions.create(model="open", prompt="a", suffix="b", stream=True))
    assert [part.choices[0].text for part in parts] == ["x", "x"]
    assert parts[-1].usage is not None
    assert parts[-1].usage.to_dict() == usage


def test_a_refusal_names_the_field(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="open", prompt=["a", "b"])
    assert (refused.value.param, refused.value.code) == ("prompt", "unsupported_value")


def test_a_beta_chat_goes_to_the_official_beta(gateway: Gateway) -> None:
    said: list[Any] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "```py\n", "prefix": True},
    ]
    gateway.upstream.enqueue(Answer.chat("x = 1"), Answer.chat("x = 1"))
    with client_of(gateway.server, "/beta") as client:
        for model, path in (("official", "/beta/chat/completions"), ("open", "/v1/chat/completions")):
            answer = client.chat.completions.create(model=model, messages=said, stop=["```"])
            assert answer.choices[0].message.content == "x = 1"
            assert gateway.upstream.requests[-1].path == path
            assert gateway.upstream.requests[-1].json()["messages"] == said


@pytest.mark.parametrize("path", ["/v1/text/generate", "/v1/text/completion"])
def test_the_text_routes(gateway: Gateway, path: str) -> None:
    gateway.upstream.enqueue(Answer.chat("# 你好"), Answer.chat_stream(["# ", "你好"]))
    request: dict[str, Any] = {"model": "open", "prompt": "Greet", "temperature": 0.5, "language": "zh-CN"}
    answer = post(gateway.server, path, **request, context_window=8192).json()
    assert answer["choices"][0]["text"] == "# 你好"
    asked = gateway.upstream.requests[-1].json()
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert asked.get("max_tokens") == (2048 if path.endswith("generate") else None)
    *parts, last = events(post(gateway.server, path, **request, stream=True).body)
    assert last == b"[DONE]"
    assert "".join(json.loads(part)["choices"][0]["text"] for part in parts) == "# 你好"


ENGINE = (
    table("[[upstreams]]", name="engine", kind="engine", slots=2)
    + table("[[upstreams]]", name="filler", kind="engine", slots=1, context=512)
    + 'model = "MODEL"\n'
    + "".join(
        table("[[models]]", name=name) + f'targets = [{{ upstream = "{upstream}", model = "{name}" }}]\n'
        for name, upstream in (("deepseek-chat", "engine"), ("filler", "filler"))
    )
)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The bundled model, and the same with three of its tokens taken for those of filling in."""
    data = tmp_path_factory.mktemp("embedded")
    file = data / "filler.gguf"
    file.write_bytes(with_infill_tokens(bundled_path().read_bytes(), 5, 6, 7))
    with RunningServer(ENGINE.replace("MODEL", str(file)), data) as server:
        yield server


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/beta/completions", "/v1/text/generate", "/v1/text/completion"]
)
def test_the_embedded_engine_answers(embedded: RunningServer, path: str) -> None:
    request: dict[str, Any] = {"model": "deepseek-chat", "prompt": "Hello", "temperature": 0.1, "seed": 1}
    request |= {"max_tokens": 12, "logprobs": 0}
    answer = post(embedded, path, **request).json()
    choice = answer["choices"][0]
    assert choice["text"]
    assert "".join(choice["logprobs"]["tokens"]).startswith(choice["text"])
    assert choice["logprobs"]["top_logprobs"] is None
    *parts, last = map(bytes, events(post(embedded, path, **request, stream=True).body))
    assert last == b"[DONE]"
    shown = [json.loads(part) for part in parts]
    assert "".join(part["choices"][0]["text"] for part in shown) == choice["text"]
    assert shown[-1]["usage"]["completion_tokens"] == answer["usage"]["completion_tokens"]


def test_the_bundled_model_cannot_fill_in(embedded: RunningServer) -> None:
    answer = post(embedded, "/beta/completions", model="deepseek-chat", prompt="a", suffix="b")
    error = answer.json()["error"]
    assert (answer.status, error["param"], error["code"]) == (400, "suffix", "unsupported_content")


def test_a_model_that_can_is_shown_both_sides(embedded: RunningServer) -> None:
    request: dict[str, Any] = {"model": "filler", "prompt": "Once upon a", "max_tokens": 6, "temperature": 0}
    answers = [
        post(embedded, "/beta/completions", **request, suffix=suffix).json()
        for suffix in ("the end.", "1 + 1 =")
    ]
    # bos, prefix, 3 tokens of prompt, suffix and middle, and what the suffix has
    assert all(answer["usage"]["prompt_tokens"] > 8 for answer in answers)
    assert answers[0]["choices"][0]["text"] != answers[1]["choices"][0]["text"], "the suffix counts"
    *parts, last = events(post(embedded, "/v1/completions", **request, suffix="the end.", stream=True).body)
    assert last == b"[DONE]"
    assert (
        "".join(json.loads(part)["choices"][0]["text"] for part in parts) == answers[0]["choices"][0]["text"]
    )
    refused = post(embedded, "/beta/completions", **request, suffix="x", logprobs=1)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "logprobs")
