"""The unchanged OpenAI SDK's `responses`, pointed at the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from abyssal.testing import Answer, tool_call

from .calls import Gateway

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALL = tool_call("get_weather", {"city": "北京"}, id="call_00_a")
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    server = gateway.server
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=20) as client:
        yield client


def check(response: Response) -> None:
    """The object is what the SDK's types say, which it does not check by itself."""
    Response.model_validate_json(response.to_json(), strict=False)


def test_a_plain_call(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!", reasoning="A greeting."))
    response = client.responses.create(
        model="official", input="hi", instructions="Be brief.", max_output_tokens=50, metadata={"a": "b"}
    )
    check(response)
    assert (response.output_text, response.status) == ("Hello!", "completed")
    assert response.output[0].type == "reasoning"
    assert response.output[0].content is not None
    assert response.output[0].content[0].text == "A greeting."
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
    asked = gateway.upstream.requests[-1]
    assert asked.path.endswith("/chat/completions")
    assert asked.json() == {
        "model": "upstream-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 50,
    }


def test_without_v1_in_the_address(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!"))
    with OpenAI(api_key=gateway.server.api_key, base_url=gateway.server.url, max_retries=0) as client:
        assert client.responses.create(model="open", input="hi").output_text == "Hello!"


@pytest.mark.parametrize("model", ["open", "official"])
def test_a_stream(gateway: Gateway, client: OpenAI, model: str) -> None:
    style = "openai" if model == "open" else "official"
    gateway.upstream.enqueue(Answer.chat_stream(["Hel", "lo", "!"], reasoning=["Hm", "m"], usage_style=style))
    with client.responses.create(model=model, input="hi", stream=True) as stream:
        events = list(stream)
    for event in events:
        EVENT.validate_json(event.to_json())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["Hel", "lo", "!"]
    thought = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(thought) == "Hmm"
    last = events[-1]
    assert last.type == "response.completed"
    check(last.response)
    assert last.response.output_text == "Hello!"
    assert last.response.usage is not None


def test_the_stream_helper(gateway: Gateway, client: OpenAI) -> None:
    second = tool_call("get_weather", {"city": "Paris"}, id="call_01_b")
    gateway.upstream.enqueue(Answer.chat_stream(["Let me see."], reasoning=["Hm"], tool_calls=[CALL, second]))
    with client.responses.stream(model="open", input="weather?", tools=[WEATHER]) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == "Let me see."
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, json.loads(call.arguments)["city"]) for call in calls] == [
        ("call_00_a", "北京"), ("call_01_b", "Paris"),
    ]  # fmt: skip
    assert final.status == "completed"


def test_a_turn_with_a_tool_is_sent_back_as_it_came(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat(None, reasoning="Look.", tool_calls=[CALL]), Answer.chat("Sunny."))
    said: list[Any] = [{"role": "user", "content": "weather?"}]
    first = client.responses.create(model="open", input=said, tools=[WEATHER], tool_choice="auto")
    check(first)
    (call,) = [item for item in first.output if item.type == "function_call"]
    said += first.output
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": '{"sky":"clear"}'})
    second = client.responses.create(model="open", input=said, tools=[WEATHER])
    assert second.output_text == "Sunny."
    asked = gateway.upstream.requests[-1].json()
    assert asked["messages"] == [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Look.",
            "tool_calls": [{"id": "call_00_a", "type": "function", "function": CALL["function"]}],
        },
        {"role": "tool", "tool_call_id": "call_00_a", "content": '{"sky":"clear"}'},
    ]
    function = {name: value for name, value in WEATHER.items() if name != "type"}
    assert asked["tools"] == [{"type": "function", "function": function}]


class Point(BaseModel):
    x: int
    y: int


def test_parsed_answers(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat('{"x":1,"y":2}'), Answer.chat_stream(['{"x":3,', '"y":4}']))
    whole = client.responses.parse(model="open", input="where?", text_format=Point)
    assert whole.output_parsed == Point(x=1, y=2)
    assert gateway.upstream.requests[-1].json()["response_format"]["json_schema"]["name"] == "Point"
    with client.responses.stream(model="open", input="where?", text_format=Point) as stream:
        assert stream.get_final_response().output_parsed == Point(x=3, y=4)


def test_an_answer_cut_short(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(
        Answer.chat("Hel", finish_reason="length"), Answer.chat_stream(["Hel"], finish_reason="length")
    )
    whole = client.responses.create(model="open", input="hi", max_output_tokens=1)
    check(whole)
    assert whole.incomplete_details is not None
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    with client.responses.create(model="open", input="hi", stream=True) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == "Hel"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (402, openai.APIStatusError),
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
        client.responses.create(model="open", input="hi", stream=stream)
    error = caught.value
    assert (error.status_code, error.code, error.param) == (status, "c", "input")
    assert error.request_id


def test_errors_of_the_gateway(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="open", input="hi", previous_response_id="resp_1")
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "unsupported_parameter")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="open", input="hi", tools=[{"type": "web_search"}])
    assert refused.value.param == "tools[0].type"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="opne", input="hi")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-of-a-stranger-000000").responses.create(model="open", input="hi")


def test_an_upstream_that_breaks_in_the_stream(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], every=0.02).reset(after_events=2))
    with client.responses.create(model="open", input="hi", stream=True) as stream:
        last = list(stream)[-1]
    EVENT.validate_python(last.to_dict() | {"response": last.to_dict()["response"] | {"error": None}})
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "failed" in last.response.error.message or "ended" in last.response.error.message
    assert last.response.output_text == "a"


def test_leaving_a_stream_early_ends_it(gateway: Gateway, client: OpenAI) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.01))
    with client.responses.create(model="open", input="hi", stream=True) as stream:
        for _, _ in zip(stream, range(8), strict=False):
            pass
    gateway.upstream.requests[-1].wait_closed(1.0)


def test_async(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("Hello!"), Answer.chat_stream(["Hel", "lo!"]))

    async def both() -> tuple[str, str]:
        server = gateway.server
        async with AsyncOpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
            whole = await client.responses.create(model="open", input="hi")
            async with client.responses.stream(model="open", input="hi") as stream:
                return whole.output_text, (await stream.get_final_response()).output_text

    assert asyncio.run(both()) == ("Hello!", "Hello!")
