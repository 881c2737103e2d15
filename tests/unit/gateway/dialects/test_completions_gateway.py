"""Completions through the whole gateway: who is asked what, on which route, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, USAGE, Answer, chat, chunk, completion
from tests.unit.gateway.stage import Client, Stage, stages

TABLE = '[[models]]\nname = "m"\ntargets = [{ upstream = "engine", model = "their-model" }]\n'
TEXT = json.dumps(
    {
        "id": "cmpl-9",
        "object": "text_completion",
        "model": "their-model",
        "choices": [{"text": "filled", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
        "theirs": {"own": 1},
    }
).encode()


def text_chunk(text: str, finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}]
    return (
        b"data: " + json.dumps({"id": "c", "object": "text_completion", "choices": choices} | fields).encode()
    )


@pytest.fixture
def stage_of() -> Iterator[Callable[..., Stage]]:
    """Makes stages with one upstream of a kind at a base URL, and the model "m" that it answers."""
    with stages() as make:

        def made(kind: str = "openai", base: str = "http://up.test/v1") -> Stage:
            where = "" if kind == "engine" else f'base_url = "{base}"\napi_key = "upstream-secret"\n'
            stage = make(f'[[upstreams]]\nname = "engine"\nkind = "{kind}"\n{where}' + TABLE)
            stage.upstream.available = True
            return stage

        yield made


def ask(stage: Stage, path: str = "/v1/completions", **fields: Any) -> Client:
    body = json.dumps({"model": "m", "prompt": "Once"} | fields).encode()
    return stage.client().send(chat(body, line=b"POST %b HTTP/1.1\r\n" % path.encode()))


def error_of(answer: Answer) -> tuple[int, Any, Any]:
    return answer.status, answer.error["param"], answer.error["code"]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/text/generate", "/v1/text/completion"])
@pytest.mark.parametrize("kind", ["deepseek", "openai", "engine"])
def test_a_completion_is_asked_as_a_chat_of_any_upstream(
    stage_of: Callable[..., Stage], kind: str, path: str
) -> None:
    stage = stage_of(kind)
    client = ask(stage, path)
    request = stage.server.last.request
    assert request.target == "/v1/chat/completions"
    assert request.json()["messages"] == [{"role": "user", "content": "Once"}]
    assert request.json()["model"] == "their-model"
    stage.server.last.answer(completion(" upon", model="their-model", created=7))
    answer = client.answer()
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.json()["object"] == "text_completion"
    assert answer.json()["choices"] == [
        {"text": " upon", "index": 0, "logprobs": None, "finish_reason": "stop"}
    ]
    assert answer.json()["usage"]["total_tokens"] == 16
    assert (stage.settled[0].status, stage.settled[0].prompt_tokens) == (200, 11)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/text/generate", "/v1/text/completion"])
def test_a_stream_ends_with_done_and_tells_its_usage(stage_of: Callable[..., Stage], path: str) -> None:
    stage = stage_of()
    client = ask(stage, path, stream=True)
    alone = b"data: " + json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode()
    server = stage.server.last.begin_stream().stream(chunk(" upon"), chunk(" a"))
    server.stream(chunk("", "stop"), alone, DONE).end_stream()
    *events, last = client.answer().events
    assert last == "[DONE]"
    shown = [json.loads(event) for event in events]
    assert "".join(item["choices"][0]["text"] for item in shown) == " upon a"
    assert shown[-1]["choices"][0]["finish_reason"] == "stop"
    assert shown[-1]["usage"]["total_tokens"] == 16
    assert client.answer().header("content-type") == "text/event-stream; charset=utf-8"
    assert stage.settled[0].completion_tokens == 5


def test_a_stream_that_breaks_ends_with_an_error_event(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of()
    client = ask(stage, stream=True)
    stage.server.last.begin_stream().stream(chunk("a")).end_stream()
    said, broken = client.answer().events
    assert json.loads(said)["choices"][0]["text"] == "a"
    assert json.loads(broken)["error"]["code"] == "upstream_ended_early"


def test_a_silent_upstream_s_comments_reach_the_client(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of()
    client = ask(stage, stream=True)
    stage.pass_time(16)
    stage.server.last.begin_stream().stream(LAST, DONE).end_stream()
    assert client.answer().events[0] == ": keep-alive"
    assert client.answer().events[-1] == "[DONE]"


NATIVE = [
    ("deepseek", "http://up.test", "/beta/completions"),
    ("deepseek", "http://up.test/v1", "/beta/completions"),
    ("deepseek", "http://up.test/beta/", "/beta/completions"),
    ("deepseek", "http://up.test/proxy/v1", "/proxy/beta/completions"),
    ("openai", "http://up.test/v1", "/v1/completions"),
    ("openai", "http://up.test/base", "/base/completions"),
]


@pytest.mark.parametrize(("kind", "base", "target"), NATIVE)
@pytest.mark.parametrize(("path", "suffix"), [("/beta/completions", None), ("/beta/completions", "end"),
                                              ("/v1/completions", "end")])  # fmt: skip
def test_an_upstream_s_own_route_gets_the_bytes_and_answers_with_them(
    stage_of: Callable[..., Stage], kind: str, base: str, target: str, path: str, suffix: str | None
) -> None:
    stage = stage_of(kind, base)
    client = ask(stage, path, suffix=suffix, echo=True, logprobs=3, top_k=5, temperature=0.1)
    request = stage.server.last.request
    assert (request.method, request.target) == ("POST", target)
    assert request.header("authorization") == "Bearer upstream-secret"
    assert request.json() == {
        "model": "their-model", "prompt": "Once", "suffix": suffix, "echo": True, "logprobs": 3, "top_k": 5,
        "temperature": 0.1,
    }  # fmt: skip
    stage.server.last.answer(TEXT)
    assert client.answer().body == TEXT
    assert (stage.settled[0].status, stage.settled[0].completion_tokens) == (200, 5)


@pytest.mark.parametrize("kind", ["deepseek", "openai"])
def test_an_upstream_s_own_stream_tells_its_usage_on_its_last_chunk(
    stage_of: Callable[..., Stage], kind: str
) -> None:
    stage = stage_of(kind)
    client = ask(stage, "/beta/completions", suffix="end", stream=True)
    asked = stage.server.last.request.json()
    server = stage.server.last.begin_stream().stream(text_chunk("fil"), text_chunk("led"))
    if kind == "openai":
        assert asked["stream_options"] == {"include_usage": True}
        alone = b"data: " + json.dumps({"id": "c", "choices": [], "usage": USAGE}).encode()
        server.stream(text_chunk("", "stop"), alone, DONE).end_stream()
    else:
        assert "stream_options" not in asked
        server.stream(text_chunk("", "stop", usage=USAGE), DONE).end_stream()
    *events, last = client.answer().events
    assert last == "[DONE]"
    shown = [json.loads(event) for event in events]
    assert [item["choices"][0]["text"] for item in shown] == ["fil", "led", ""]
    assert shown[-1]["usage"] == USAGE
    assert stage.settled[0].prompt_tokens == 11


def test_an_upstream_s_own_refusal_is_handed_on(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of()
    client = ask(stage, suffix="end")
    stage.server.last.answer(
        b'{"error":{"message":"no suffix here","type":"t","param":"suffix","code":"c"}}', 400
    )
    assert error_of(client.answer()) == (400, "suffix", "c")
    assert stage.settled[0].status == 400


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_knows_no_places_refuses_a_suffix_by_name(
    stage_of: Callable[..., Stage], stream: bool
) -> None:
    stage = stage_of("engine")
    answer = ask(stage, suffix="end", stream=stream).answer()
    assert error_of(answer) == (400, "suffix", "unsupported_content")
    assert answer.error["message"] == (
        'The model "m" is asked by chat here, which has no "suffix"; leave it out, or ask a model whose '
        "upstream takes it."
    )
    assert not stage.server.requests
    assert stage.refused[0].code == "unsupported_content"


def test_logprobs_of_a_prompt_are_refused_where_only_a_chat_can_be_asked(
    stage_of: Callable[..., Stage],
) -> None:
    assert error_of(ask(stage_of("engine"), echo=True, logprobs=1).answer()) == (
        400, "logprobs", "unsupported_content",
    )  # fmt: skip


def test_an_engine_answers_the_beta_route_as_a_chat(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of("engine")
    client = ask(stage, "/beta/completions")
    assert stage.server.last.request.target == "/v1/chat/completions"
    stage.server.last.answer(completion(" upon"))
    assert client.answer().json()["choices"][0]["text"] == " upon"


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_an_engine_that_knows_the_places_fills_in(stage_of: Callable[..., Stage], prompt: Any) -> None:
    stage = stage_of("engine")
    stage.upstream.infill = (5, 6, 7)
    client = ask(stage, prompt=prompt, suffix="end.", max_tokens=9, grammar="root ::= x", stop=["\n"])
    request = stage.server.last.request
    assert request.target == "/v1/completions"
    assert request.json() == {
        "model": "their-model", "prompt": ["", 5, "Once", 6, "end.", 7], "max_tokens": 9, "stop": ["\n"],
    }  # fmt: skip
    stage.server.last.answer(TEXT)
    assert client.answer().json()["choices"][0]["text"] == "filled"
    assert client.answer().json()["usage"]["prompt_cache_miss_tokens"] == 11


def test_an_engine_streams_what_it_fills_in(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of("engine")
    stage.upstream.infill = (5, 6, 7)
    client = ask(stage, suffix="end.", stream=True)
    assert stage.server.last.request.json()["stream_options"] == {"include_usage": True}
    alone = b"data: " + json.dumps({"id": "c", "choices": [], "usage": USAGE}).encode()
    server = stage.server.last.begin_stream().stream(text_chunk("fil"))
    server.stream(text_chunk("", "stop"), alone, DONE).end_stream()
    said, finished, done = client.answer().events
    assert json.loads(said)["choices"][0]["text"] == "fil"
    assert json.loads(finished)["usage"]["prompt_tokens"] == 11
    assert done == "[DONE]"


@pytest.mark.parametrize("more", [{"echo": True}, {"logprobs": 0}])
def test_what_an_engine_cannot_do_while_it_fills_in(
    stage_of: Callable[..., Stage], more: dict[str, Any]
) -> None:
    stage = stage_of("engine")
    stage.upstream.infill = (5, 6, 7)
    answer = ask(stage, suffix="end.", **more).answer()
    assert error_of(answer) == (400, next(iter(more)), "unsupported_content")


@pytest.mark.parametrize("field", ["prompt", "suffix"])
def test_what_would_hurt_an_engine_is_refused_as_the_prompt(
    stage_of: Callable[..., Stage], field: str
) -> None:
    stage = stage_of("engine")
    stage.upstream.infill = (5, 6, 7)
    answer = ask(stage, **{"suffix": "end.", field: "a" * 16_000}).answer()
    assert error_of(answer) == (400, "prompt", "unsupported_content")
    assert not stage.server.requests


def test_a_prompt_far_over_the_context_is_refused_as_the_prompt(stage_of: Callable[..., Stage]) -> None:
    answer = ask(stage_of("engine"), prompt="word " * 60_000).answer()
    assert error_of(answer) == (400, "prompt", "context_length_exceeded")


def test_who_is_nobody_is_told_so_before_the_body_is_read(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of()
    client = stage.client().send(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{")
    assert error_of(client.answer()) == (401, None, "missing_api_key")


def test_an_unknown_model_is_said_so(stage_of: Callable[..., Stage]) -> None:
    assert error_of(ask(stage_of(), model="nobody").answer()) == (404, "model", "model_not_found")


@pytest.mark.parametrize(("kind", "target"), [("deepseek", "/beta/chat/completions"), ("openai", "/v1/chat/completions"),
                                              ("engine", "/v1/chat/completions")])  # fmt: skip
def test_a_beta_chat_passes_as_it_is(stage_of: Callable[..., Stage], kind: str, target: str) -> None:
    stage = stage_of(kind)
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "```", "prefix": True}]
    client = stage.client().send(chat(line=b"POST /beta/chat/completions HTTP/1.1\r\n", messages=said))
    request = stage.server.last.request
    assert request.target == target
    assert request.json() == {"model": "their-model", "messages": said}
    stage.server.last.answer(completion("x"))
    assert client.answer().json()["choices"][0]["message"]["content"] == "x"


def test_a_chat_goes_where_it_always_went(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of("deepseek", "http://up.test")
    client = stage.client().ask()
    assert stage.server.last.request.target == "/chat/completions"
    stage.server.last.answer()
    assert client.answer().status == 200
