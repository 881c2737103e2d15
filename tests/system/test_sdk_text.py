"""Completions and text routes of a running server, through the SDK, blocking and asynchronous."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from abyssal import AsyncDeepSeekClient, BadRequestError, DeepSeekClient
from abyssal.testing import Answer

from .calls import Gateway

ANSWERED = {
    "id": "cmpl-9",
    "object": "text_completion",
    "model": "upstream-model",
    "choices": [{"text": "return 1", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
}


@pytest.mark.parametrize("path", ["", "/v1"])
def test_blocking(gateway: Gateway, path: str) -> None:
    gateway.upstream.enqueue(
        Answer.chat(" upon"),
        Answer.chat_stream([" upon", " a"]),
        Answer.json(ANSWERED),
        Answer.chat("# 你好"),
        Answer.chat_stream(["# ", "你好"]),
    )
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.url + path) as client:
        whole = client.completions.create(model="open", prompt="Once", echo=True)
        assert (whole.text, whole.choices[0].finish_reason) == ("Once upon", "stop")
        assert whole.request_id
        parts = list(client.completions.create(model="open", prompt="Once", stream=True))
        assert "".join(part.text for part in parts) == " upon a"
        filled = client.completions.create(model="official", prompt="def one(): ", suffix="\n")
        assert filled.text == "return 1"
        assert gateway.upstream.requests[-1].path == "/beta/completions"
        assert client.text.generate("Greet", model="open", temperature=0.5, language="zh-CN").text == "# 你好"
        stream = client.text.complete("Greet", model="open", stream=True)
        assert stream.get_final_completion().text == "# 你好"
        with pytest.raises(BadRequestError) as refused:
            client.text.generate("Greet", model="open", temperature=1.5)
    assert refused.value.param == "temperature"


def test_embeddings(gateway: Gateway) -> None:
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        packed = client.embeddings.create(model="open", input=["deep", "sea"])
        plain = client.embeddings.create(model="open", input=["deep", "sea"], encoding_format="float")
    assert [one.index for one in packed] == [0, 1]
    assert [one.embedding for one in packed] == [pytest.approx(one.embedding, rel=1e-6) for one in plain]
    assert packed.usage is not None
    assert packed.usage.prompt_tokens > 0


def test_asynchronous(gateway: Gateway) -> None:
    async def main() -> list[Any]:
        async with AsyncDeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
            whole = await client.completions.create(model="open", prompt="Once")
            stream = await client.text.generate("Greet", model="open", temperature=0.5, stream=True)
            return [whole.text, (await stream.get_final_completion()).text]

    gateway.upstream.enqueue(Answer.chat(" upon"), Answer.chat_stream(["Hel", "lo"]))
    assert asyncio.run(main()) == [" upon", "Hello"]
