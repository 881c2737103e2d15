"""The unchanged Anthropic SDK, pointed at the gateway: nothing in it need know that it is not Anthropic's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from abyssal.engine.bundled import bundled_path
from abyssal.testing import Answer, RunningServer, ScriptedUpstream, gateway_config, tool_call

from .calls import Gateway

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = tool_call("get_weather", {"city": "北京"}, id="call_00_a")
OTHER_CALL = tool_call("get_weather", {"city": "Paris"}, id="call_01_b")
USAGE = {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109, "prompt_cache_hit_tokens": 64}


def url_of(server: RunningServer) -> str:
    return f"{server.url}/anthropic"


def client_of(server: RunningServer, retries: int = 0) -> Anthropic:
    return Anthropic(api_key=server.api_key, base_url=url_of(server), max_retries=retries, timeout=20)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Anthropic]:
    with client_of(gateway.server) as client:
        yield client


def said(gateway: Gateway) -> dict[str, Any]:
    """The last chat request that reached the upstream."""
    return gateway.upstream.requests[-1].json()


def test_a_plain_call(gateway: Gateway, client: Anthropic) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!", reasoning="A greeting.", usage=USAGE))
    message = client.messages.create(
        model="official",
        max_tokens=100,
        system="Be kind.",
        messages=HI,
        stop_sequences=["END"],
        extra_body={"temperature": 0.5},
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    thinking, text = message.content
    assert isinstance(thinking, anthropic.types.ThinkingBlock)
    assert isinstance(text, anthropic.types.TextBlock)
    assert (thinking.thinking, text.text) == ("A greeting.", "Hello!")
    assert thinking.signature
    assert (message.role, message.stop_reason) == ("assistant", "end_turn")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (36, 64, 9)
    request = said(gateway)
    assert request["messages"] == [{"role": "system", "content": "Be kind."}, *HI]
    assert (request["temperature"], request["max_tokens"], request["stop"]) == (0.5, 100, ["END"])


@pytest.mark.parametrize("model", ["open", "official"])
def test_the_stream_helper(gateway: Gateway, client: Anthropic, model: str) -> None:
    style = "openai" if model == "open" else "official"
    pieces = ["Hel", "lo\n\n", "\u2028 world!"]
    answer = Answer.chat_stream(pieces, reasoning=["Hm", "m"], usage=USAGE, usage_style=style)
    gateway.upstream.enqueue(answer.with_keep_alives(2))
    with client.messages.stream(model=model, max_tokens=100, messages=HI) as stream:
        assert list(stream.text_stream) == pieces
        message = stream.get_final_message()
    thinking, text = message.content
    assert isinstance(thinking, anthropic.types.ThinkingBlock)
    assert isinstance(text, anthropic.types.TextBlock)
    assert (thinking.thinking, text.text) == ("Hmm", "".join(pieces))
    assert thinking.signature
    assert message.stop_reason == "end_turn"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (36, 64, 9)


def test_the_events_of_a_raw_stream(gateway: Gateway, client: Anthropic) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"]))
    with client.messages.create(model="open", max_tokens=100, messages=HI, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip


def test_leaving_a_stream_early_ends_it(gateway: Gateway, client: Anthropic) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.01))
    with client.messages.stream(model="open", max_tokens=100, messages=HI) as stream:
        for _, _ in zip(stream.text_stream, range(3), strict=False):
            pass
    gateway.upstream.requests[-1].wait_closed(1.0)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_conversation_with_tools(gateway: Gateway, client: Anthropic, streamed: bool) -> None:
    gateway.upstream.enqueue(
        Answer.chat("I look.", reasoning="Where?", tool_calls=[CALL, OTHER_CALL]), Answer.chat("Sunny.")
    )
    asked: Any = {"model": "open", "max_tokens": 100, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    if streamed:
        with client.messages.stream(messages=HI, **asked) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(messages=HI, **asked)
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.id, call.name, call.input) for call in calls] == [
        ("call_00_a", "get_weather", {"city": "北京"}), ("call_01_b", "get_weather", {"city": "Paris"}),
    ]  # fmt: skip
    request = said(gateway)
    assert request["tool_choice"] == "required"
    assert request["tools"][0]["function"]["parameters"] == WEATHER["input_schema"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "clear"} for call in calls]
    turns = [*HI, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    last = client.messages.create(model="open", max_tokens=100, tools=[WEATHER], messages=turns)
    assert isinstance(last.content[0], anthropic.types.TextBlock)
    assert last.content[0].text == "Sunny."
    _, assistant, *answers = said(gateway)["messages"]
    assert (assistant["content"], assistant["reasoning_content"]) == ("I look.", "Where?")
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_00_a", "call_01_b"]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"city": "北京"}
    assert [(one["role"], one["tool_call_id"]) for one in answers] == [
        ("tool", "call_00_a"), ("tool", "call_01_b"),
    ]  # fmt: skip


def test_asynchronously(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!"), Answer.chat_stream(["Hel", "lo!"]))

    async def talk() -> list[str]:
        server = gateway.server
        async with AsyncAnthropic(api_key=server.api_key, base_url=url_of(server), max_retries=0) as client:
            whole = await client.messages.create(model="open", max_tokens=100, messages=HI)
            async with client.messages.stream(model="open", max_tokens=100, messages=HI) as stream:
                streamed = await stream.get_final_message()
        blocks = [whole.content[0], streamed.content[0]]
        return [block.text for block in blocks if isinstance(block, anthropic.types.TextBlock)]

    assert asyncio.run(talk()) == ["Hello!", "Hello!"]


def test_the_beta_client_and_images(gateway: Gateway, client: Anthropic) -> None:
    gateway.upstream.enqueue(Answer.chat("A pixel."))
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    message = client.beta.messages.create(
        model="open",
        max_tokens=100,
        betas=["interleaved-thinking-2025-05-14"],
        thinking={"type": "enabled", "budget_tokens": 2000},
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}],
    )
    assert message.content[0].type == "text"
    assert said(gateway)["thinking"] == {"type": "enabled"}
    assert said(gateway)["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]


def test_counting_tokens(gateway: Gateway, client: Anthropic) -> None:
    before = len(gateway.upstream.requests)
    few = client.messages.count_tokens(model="claude-opus-4-8", messages=HI).input_tokens
    more = client.messages.count_tokens(
        model="claude-opus-4-8", messages=HI, tools=[WEATHER], system="x" * 100
    )
    assert 0 < few < few + 30 < more.input_tokens
    assert len(gateway.upstream.requests) == before


def test_names_of_claude(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = ("deepseek-flash", "deepseek-v4-pro")
    with ScriptedUpstream() as upstream:
        first, _, second = gateway_config(upstream, names).partition(
            "[[models]]\n" + 'name = "deepseek-v4-pro"'
        )
        config = (
            first + '[[models]]\nname = "deepseek-v4-pro"' + second.replace("upstream-model", "pro-model")
        )
        with (
            RunningServer(config, tmp_path_factory.mktemp("names")) as server,
            client_of(server) as client,
        ):
            for name in ("claude-opus-4-8", "claude-sonnet-5", "deepseek-v4-pro"):
                client.messages.create(model=name, max_tokens=100, messages=HI)
            with pytest.raises(anthropic.BadRequestError, match="gpt-9"):
                client.messages.create(model="gpt-9", max_tokens=100, messages=HI)
        assert [request.json()["model"] for request in upstream.requests] == [
            "pro-model", "upstream-model", "pro-model",
        ]  # fmt: skip


def test_a_call_has_a_name(client: Anthropic) -> None:
    """The SDK looks for it in `request-id`."""
    plain = client.messages.with_raw_response.create(model="open", max_tokens=100, messages=HI)
    counted = client.messages.with_raw_response.count_tokens(model="open", messages=HI)
    with client.messages.with_streaming_response.create(
        model="open", max_tokens=100, messages=HI, stream=True
    ) as streamed:
        heads = [plain.headers, counted.headers, streamed.headers]
    assert all(head["request-id"] == head["x-request-id"] for head in heads)
    assert plain.parse()._request_id == plain.headers["x-request-id"]
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="open", max_tokens=0, messages=HI)
    assert refused.value.request_id == refused.value.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_errors_of_the_upstream(
    gateway: Gateway, client: Anthropic, status: int, kind: type[anthropic.APIStatusError], error_type: str,
    stream: bool,
) -> None:  # fmt: skip
    gateway.upstream.enqueue(Answer.error(status, "No.", type="t", code="c", param="messages"))
    with pytest.raises(kind) as caught:
        client.messages.create(model="open", max_tokens=100, messages=HI, stream=stream)
    assert (caught.value.status_code, caught.value.type) == (status, error_type)
    assert "No." in caught.value.message


def test_errors_of_the_gateway(gateway: Gateway, client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="open", max_tokens=0, messages=HI)
    assert refused.value.type == "invalid_request_error"
    assert '"max_tokens"' in refused.value.message
    with pytest.raises(anthropic.AuthenticationError) as unknown:
        client.with_options(api_key="sk-of-a-stranger-000000").messages.create(
            model="open", max_tokens=100, messages=HI
        )
    assert unknown.value.type == "authentication_error"


def test_an_error_in_a_stream_is_raised(gateway: Gateway, client: Anthropic) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b", "c"], every=0.02).reset(after_events=3))
    seen: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(model="open", max_tokens=100, messages=HI) as stream,
    ):
        seen.extend(stream.text_stream)
    assert seen == ["a", "b"]
    assert caught.value.type == "api_error"


@pytest.mark.parametrize("status", [429, 503])
def test_retries_are_the_clients_own(gateway: Gateway, status: int) -> None:
    before = len(gateway.upstream.requests)
    gateway.upstream.enqueue(Answer.error(status, retry_after=1), Answer.chat("at last"))
    with client_of(gateway.server, retries=2) as client:
        message = client.messages.create(model="open", max_tokens=100, messages=HI)
    assert isinstance(message.content[0], anthropic.types.TextBlock)
    assert message.content[0].text == "at last"
    first, second = gateway.upstream.requests[before:]
    assert 0.9 < second.received_at - first.received_at < 3


@pytest.mark.skipif(not bundled_path().exists(), reason="the bundled model is not made yet")
def test_the_embedded_engine_answers_to_names_of_claude(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        RunningServer(None, tmp_path_factory.mktemp("embedded")) as server,
        client_of(server) as client,
    ):
        message = client.messages.create(model="claude-opus-4-8", max_tokens=24, messages=HI)
        assert isinstance(message.content[0], anthropic.types.TextBlock)
        assert message.content[0].text
        assert 0 < message.usage.output_tokens <= 24
        question: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
        choice: Any = {"type": "tool", "name": "get_weather"}
        with client.messages.stream(
            model="claude-sonnet-5", max_tokens=120, messages=question, tools=[WEATHER], tool_choice=choice
        ) as stream:
            called = stream.get_final_message()
    assert called.stop_reason == "tool_use"
    (call,) = [block for block in called.content if block.type == "tool_use"]
    assert isinstance(call.input["city"], str)
