"""The unchanged OpenAI SDK, pointed at the gateway: nothing in it need know that it is not OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from abyssal.engine.bundled import BUNDLED_MODEL, bundled_path
from abyssal.testing import Answer, RunningServer, tool_call

from .calls import Gateway

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = tool_call("get_weather", {"city": "北京"}, id="call_00_a")


def client_of(server: RunningServer, retries: int = 0) -> OpenAI:
    return OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=retries, timeout=20)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with client_of(gateway.server) as client:
        yield client


def test_a_plain_call(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!", reasoning="A greeting."))
    answer = client.chat.completions.create(model="official", messages=HI, temperature=0.5)
    message = answer.choices[0].message
    assert (message.content, answer.choices[0].finish_reason) == ("Hello!", "stop")
    assert message.reasoning_content == "A greeting."  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id in wait_ids(gateway)
    assert gateway.upstream.requests[-1].json()["temperature"] == 0.5


def wait_ids(gateway: Gateway) -> set[str]:
    """The ids by which the upstream was told of calls."""
    return {request.header("x-request-id") or "" for request in gateway.upstream.requests}


@pytest.mark.parametrize("include_usage", [None, False, True])
@pytest.mark.parametrize("model", ["open", "official"])
def test_a_stream(gateway: Gateway, client: OpenAI, model: str, include_usage: bool | None) -> None:
    style = "openai" if model == "open" else "official"
    gateway.upstream.enqueue(Answer.chat_stream(["Hel", "lo", "!"], reasoning=["Hm", "m"], usage_style=style))
    options: Any = {} if include_usage is None else {"stream_options": {"include_usage": include_usage}}
    with client.chat.completions.create(model=model, messages=HI, stream=True, **options) as stream:
        parts = list(stream)
    deltas = [part.choices[0].delta for part in parts]
    assert "".join(delta.content or "" for delta in deltas) == "Hello!"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hmm"
    assert parts[-1].choices[0].finish_reason == "stop"
    assert parts[-1].usage is not None
    assert len({part.id for part in parts}) == 1


def test_leaving_a_stream_early_ends_it(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.01))
    with client.chat.completions.create(model="open", messages=HI, stream=True) as stream:
        for _, _ in zip(stream, range(3), strict=False):
            pass
    gateway.upstream.requests[-1].wait_closed(1.0)


def test_tools_plain(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat(None, tool_calls=[CALL]), Answer.chat("Sunny."))
    messages = list(HI)
    answer = client.chat.completions.create(
        model="open", messages=messages, tools=[WEATHER], tool_choice="auto"
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "call_00_a", "get_weather", {"city": "北京"},
    )  # fmt: skip
    messages += [
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": '{"sky":"clear"}'},
    ]
    answer = client.chat.completions.create(model="open", messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "Sunny."
    said = gateway.upstream.requests[-1].json()
    assert [message["role"] for message in said["messages"]] == ["user", "assistant", "tool"]
    assert said["messages"][1]["tool_calls"][0]["id"] == "call_00_a"
    assert said["tools"] == [WEATHER]


def test_tools_streamed(gateway: Gateway, client: OpenAI) -> None:
    second = tool_call("get_weather", {"city": "Paris"}, id="call_01_b")
    gateway.upstream.enqueue(Answer.chat_stream([], tool_calls=[CALL, second]))
    with client.chat.completions.stream(model="open", messages=HI, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [(call.id, json.loads(call.function.arguments)["city"]) for call in calls] == [
        ("call_00_a", "北京"), ("call_01_b", "Paris"),
    ]  # fmt: skip
    assert final.choices[0].finish_reason == "tool_calls"


def test_models(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"open", "official", "hasty"} <= names
    assert client.models.retrieve("open").id == "open"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (402, openai.APIStatusError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_errors_of_the_upstream(
    gateway: Gateway, client: OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    gateway.upstream.enqueue(Answer.error(status, "No.", type="t", code="c", param="messages"))
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="open", messages=HI, stream=stream)
    error = caught.value
    assert (error.status_code, error.code, error.param) == (status, "c", "messages")
    assert "No." in error.message
    assert error.request_id


def test_errors_of_the_gateway(gateway: Gateway, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="opne", messages=HI)
    assert caught.value.code == "model_not_found"
    bad: Any = [{"role": "user"}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="open", messages=bad)
    assert refused.value.param == "messages[0].content"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-of-a-stranger-000000").chat.completions.create(
            model="open", messages=HI
        )


def test_an_error_in_a_stream_is_raised(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], every=0.02).reset(after_events=2))
    seen = []
    with (
        pytest.raises(openai.APIError, match="failed"),
        client.chat.completions.create(model="open", messages=HI, stream=True) as stream,
    ):
        seen.extend(stream)
    assert len(seen) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_retries_are_the_clients_own(gateway: Gateway, status: int) -> None:
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(Answer.error(status, retry_after=1), Answer.chat("at last"))
    with client_of(gateway.server, retries=2) as client:
        answer = client.chat.completions.create(model="open", messages=HI)
    assert answer.choices[0].message.content == "at last"
    first, second = gateway.upstream.requests[before:]
    assert 0.9 < second.received_at - first.received_at < 3
    assert second.header("x-stainless-retry-count") == "1"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of the platform as it starts without a configuration."""
    with (
        RunningServer(None, tmp_path_factory.mktemp("embedded")) as server,
        client_of(server) as client,
    ):
        yield client


needs_model = pytest.mark.skipif(not bundled_path().exists(), reason="the bundled model is not made yet")


@needs_model
@pytest.mark.parametrize("model", [BUNDLED_MODEL, "deepseek-chat", "deepseek-v4-pro"])
def test_the_embedded_engine_answers(embedded: OpenAI, model: str) -> None:
    answer = embedded.chat.completions.create(model=model, messages=HI, max_tokens=24, temperature=0)
    assert answer.choices[0].message.content
    assert (answer.system_fingerprint or "").startswith(f"{BUNDLED_MODEL}-")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 24


@needs_model
def test_the_embedded_engine_streams_what_it_answers(embedded: OpenAI) -> None:
    asked: Any = {"model": "deepseek-chat", "messages": HI, "max_tokens": 24, "temperature": 0}
    whole = embedded.chat.completions.create(**asked)
    with embedded.chat.completions.create(**asked, stream=True) as stream:
        parts = list(stream)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert parts[-1].usage is not None
    assert whole.usage is not None
    assert parts[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all((part.system_fingerprint or "").startswith(f"{BUNDLED_MODEL}-") for part in parts)


@needs_model
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_the_embedded_engine_calls_a_tool(embedded: OpenAI, choice: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked: Any = {"model": "deepseek-chat", "messages": messages, "tools": [WEATHER], "tool_choice": choice}
    answer = embedded.chat.completions.create(**asked, temperature=0, max_tokens=120)
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["city"], str)
    with embedded.chat.completions.stream(**asked, temperature=0, max_tokens=120) as stream:
        for _ in stream:
            pass
        (streamed,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert json.loads(streamed.function.arguments) == arguments
