"""From arguments to what is sent: fields, headers, paths; and what is refused before it is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from abyssal import ConfigurationError, Message, Timeout
from abyssal.client.core import ClientCore
from abyssal.client.credentials.api_key import ApiKey
from abyssal.client.params import CALL_OPTIONS, ChatParams, chat_body
from abyssal.client.request import checked_headers, checked_path, encode_body
from abyssal.client.settings import parse_base_url
from abyssal.testing import ManualClock

from .face import ASK, KEY


def core(url: str = "http://h/v1") -> ClientCore:
    base = parse_base_url(url)
    return ClientCore(
        base,
        ApiKey(KEY),
        timeout=None,
        max_retries=2,
        wire_format="json",
        clock=ManualClock(),
        dice=lambda: 0.5,
    )


def sent(**params: Any) -> dict[str, Any]:
    body = core().chat(ASK | params, stream=False).request().body  # type: ignore[operator]
    return msgspec.json.decode(body or b"")


SAMPLES: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "x"}],
    "thinking": {"type": "disabled"},
    "reasoning_effort": "low",
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "stop": ["a", "b"],
    "response_format": {"type": "json_object"},
    "stream_options": {"include_usage": True},
    "n": 2,
    "temperature": 0.0,
    "top_p": 0.5,
    "seed": 0,
    "frequency_penalty": 1.0,
    "presence_penalty": -1.0,
    "logit_bias": {"5": -100.0},
    "logprobs": True,
    "top_logprobs": 3,
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "user_id": "u",
    "user": "u",
    "language": "zh-CN",
    "context_window": 4096,
    "conversation_id": "c",
    "cache": False,
    "experiment": "e",
}


def test_every_parameter_has_a_sample() -> None:
    assert {*SAMPLES, *CALL_OPTIONS} == set(ChatParams.__annotations__)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_parameter_is_sent_as_it_is(name: str) -> None:
    assert sent(**{name: SAMPLES[name]})[name] == SAMPLES[name]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ASK])
def test_none_is_not_sent(name: str) -> None:
    assert sent(**{name: None}) == ASK


def test_stream_is_said_only_if_asked_for() -> None:
    assert "stream" not in sent()
    body = core().chat(ASK, stream=True).request().body  # type: ignore[arg-type]
    assert msgspec.json.decode(body or b"")["stream"] is True


def test_messages_of_models_and_of_other_libraries_go_as_they_are() -> None:
    class Foreign:
        def model_dump(self, **options: Any) -> dict[str, Any]:
            assert options == {"mode": "json", "exclude_none": True}
            return {"role": "user", "content": "from afar"}

    said = Message(content="4", reasoning_content="2+2")
    assert sent(messages=[said, Foreign()])["messages"] == [
        {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
        {"role": "user", "content": "from afar"},
    ]


def test_extra_body_adds_and_replaces() -> None:
    assert sent(extra_body={"new": {"a": 1}, "model": "other"}) == {**ASK, "new": {"a": 1}, "model": "other"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"model": "m"}, "needs messages"),
        ({}, "needs model and messages"),
        ({"model": None, "messages": []}, "needs model"),
        (ASK | {"temprature": 1}, "'temprature'; did you mean temperature?"),
        (ASK | {"zzz": 1}, "go into extra_body"),
        (ASK | {"extra_body": {"stream": True}}, "pass stream=True"),
    ],
)
def test_wrong_arguments(params: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        chat_body(params, stream=False)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [object(), {"a": {1, 2j}}, "\ud800", {(1, 2): 3}])
def test_what_has_no_json_form_is_named(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="tools cannot be written as JSON"):
        sent(tools=value)
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        encode_body(value)


def test_headers() -> None:
    call = core().chat(ASK | {"extra_headers": {"X-Team": " blue ", "User-Agent": "mine"}}, stream=False)  # type: ignore[operator]
    headers = call.request().endpoint.headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert (headers["x-team"], headers["user-agent"]) == ("blue", "mine")
    assert "x-team" not in core().chat(ASK, stream=False).request().endpoint.headers  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "one\r\nx-b: two"},
        {"x-a": "one\ntwo"},
        {"x-a": "\0"},
        {"x-a": "深"},
        {"x-a": "é"},
        {"x-a": 1},
        {"x a": "b"},
        {"": "b"},
        {"x:a": "b"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Connection": "close"},
    ],
)
def test_headers_that_cannot_be(headers: Any) -> None:
    with pytest.raises(ConfigurationError, match="extra_headers"):
        checked_headers(headers)


def test_a_refused_header_value_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked_headers({"x-secret": "hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "http://elsewhere/",
        "//elsewhere/",
        "/a/../b",
        "/a/%2E./b",
        "/a/./b",
        "..",
        "/a b",
        "/a#b",
        "/a\r\nb",
        "/ключ",
        "/a\\b",
        "/a?b='c'",
        "/{a}",
    ],
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        checked_path(path)


@pytest.mark.parametrize("path", ["/models", "models", "/files/a..b?after=..", "/x?y=http:%2F%2Fz"])
def test_paths_below_the_base(path: str) -> None:
    assert checked_path(path) == "/" + path.lstrip("/")


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("http://h", "/chat/completions"),
        ("http://h/", "/chat/completions"),
        ("http://h/v1", "/v1/chat/completions"),
        ("http://h/v1/", "/v1/chat/completions"),
        ("http://h/beta", "/beta/chat/completions"),
        ("http://h/a/b/v1", "/a/b/v1/chat/completions"),
    ],
)
def test_targets(base: str, target: str) -> None:
    assert core(base).chat(ASK, stream=False).endpoint.target == target  # type: ignore[arg-type]


def test_total_time_is_for_plain_calls_and_shrinks() -> None:
    clock = ManualClock()
    base, key = parse_base_url("http://h"), ApiKey(KEY)
    a_core = ClientCore(
        base, key, timeout=10, max_retries=2, wire_format="json", clock=clock, dice=lambda: 0.5
    )
    call = a_core.chat(ASK, stream=False)  # type: ignore[arg-type]
    assert call.request().total == 10
    clock.advance(4)
    assert call.request().total == 6
    assert a_core.chat(ASK, stream=True).request().total is None  # type: ignore[arg-type]
    assert a_core.chat(ASK | {"timeout": Timeout()}, stream=False).request().total is None  # type: ignore[operator]


def test_a_wrong_method() -> None:
    with pytest.raises(ConfigurationError, match="method"):
        core().raw("GET /x HTTP/1.1\r\n", "/models", None, None, None)
