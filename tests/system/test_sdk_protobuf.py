"""A client that speaks Protobuf and one that speaks JSON get the same from a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from abyssal import ApiError, AsyncDeepSeekClient, DeepSeekClient
from abyssal.testing import Answer, tool_call

from .calls import Gateway

HI: list[Any] = [{"role": "user", "content": "深海 🐋"}]


@pytest.fixture
def clients(gateway: Gateway) -> Iterator[tuple[DeepSeekClient, DeepSeekClient]]:
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        yield client, client.with_options(wire_format="protobuf")


def told(value: Any) -> Any:
    """What is the same in two calls: all but their own names and times."""
    plain = value.to_dict()
    for name in ("id", "created", "request_id"):
        plain.pop(name, None)
    return plain


def test_the_same_answers(gateway: Gateway, clients: tuple[DeepSeekClient, DeepSeekClient]) -> None:
    def ask(client: DeepSeekClient) -> list[Any]:
        gateway.upstream.enqueue(
            Answer.chat("Hi.", reasoning="Hm.", usage={"prompt_tokens": 3, "completion_tokens": 2}),
            Answer.chat(None, tool_calls=[tool_call("f", {"a": [1, {"b": None}]}, id="call_0")]),
            Answer.chat_stream(["He", "llo"], reasoning=["Hm."]),
            Answer.chat(" upon"),
            Answer.chat_stream([" upon", " a"]),
        )
        chat = client.chat.completions
        stream = chat.create(model="open", messages=HI, stream=True, resumable=True)
        return [
            told(chat.create(model="open", messages=HI, temperature=0.25)),
            told(
                chat.create(
                    model="open", messages=HI, tools=[{"type": "function", "function": {"name": "f"}}]
                )
            ),
            [told(chunk) for chunk in stream],
            told(stream.get_final_completion()),
            told(client.completions.create(model="open", prompt="Once", echo=True)),
            told(client.text.generate("Once", model="open", stream=True).get_final_completion()),
            told(client.embeddings.create(model="open", input=["deep", "sea"])),
        ]

    json, protobuf = (ask(client) for client in clients)
    assert protobuf == json


def test_the_same_requests(gateway: Gateway, clients: tuple[DeepSeekClient, DeepSeekClient]) -> None:
    asked: dict[str, Any] = {
        "messages": [*HI, {"role": "assistant", "content": None, "tool_calls": []}, *HI],
        "stop": ["a", "b"],
        "logit_bias": {"5": -1.5},
        "seed": 2**53,
        "extra_body": {"vendor": {"deep": [1.0, None, "x"]}},
    }
    for client in clients:
        client.chat.completions.create(model="open", **asked)
    one, other = (msgspec.json.decode(request.body) for request in gateway.upstream.requests[-2:])
    assert one == other


def test_the_same_errors(clients: tuple[DeepSeekClient, DeepSeekClient]) -> None:
    seen: list[Any] = []
    for client in clients:
        for arguments in ({"temperature": 9}, {"model": "nothing"}, {"stream": True, "top_p": 0}):
            with pytest.raises(ApiError) as caught:
                client.chat.completions.create(**({"model": "open", "messages": HI} | arguments))
            seen.append(
                (caught.value.message, caught.value.code, caught.value.param, caught.value.status_code)
            )
    assert seen[:3] == seen[3:]


def test_asynchronous(gateway: Gateway) -> None:
    async def main() -> list[Any]:
        async with AsyncDeepSeekClient(
            gateway.server.api_key, base_url=gateway.server.base_url, wire_format="protobuf"
        ) as client:
            whole = await client.chat.completions.create(model="open", messages=HI)
            stream = await client.chat.completions.create(model="open", messages=HI, stream=True)
            return [
                whole.choices[0].message.content,
                "".join([c.choices[0].delta.content or "" async for c in stream]),
            ]

    gateway.upstream.enqueue(Answer.chat("Hi."), Answer.chat_stream(["He", "llo"]))
    assert asyncio.run(main()) == ["Hi.", "Hello"]
