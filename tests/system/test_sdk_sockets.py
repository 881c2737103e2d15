"""`client.stream()` on a running server: pieces as they come, cancelling, what a restart of the server does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from abyssal import AsyncDeepSeekClient, BadRequestError, DeepSeekClient, StreamInterruptedError
from abyssal.testing import Answer, RunningServer, ScriptedUpstream, gateway_config

from .calls import Gateway

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def test_pieces_come_before_the_next_is_sent(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["one", "two"], every=0.2, reasoning=["Hm"], usage=USAGE))
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        stream = client.stream("Hi", model="open")
        assert next(stream).reasoning == "Hm"
        assert next(stream).content == "one"
        assert not gateway.upstream.requests[-1].answered.is_set()
        whole = stream.reply()
    assert (whole.content, whole.reasoning) == ("onetwo", "Hm")
    assert whole.usage is not None
    assert whole.usage.total_tokens == 13
    assert gateway.settled(stream.request_id or "")["completion_tokens"] == 4


def test_closing_stops_the_upstream(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.05))
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        with client.stream("Hi", model="open") as stream:
            assert next(stream).content == "x"
        request = gateway.upstream.requests[-1]
        assert request.closed_by_peer.wait(5)
    assert gateway.settled(request.header("x-request-id") or "")["status"] == 499


def test_asynchronous_with_errors_in_between(gateway: Gateway) -> None:
    async def main() -> list[str]:
        async with AsyncDeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
            with pytest.raises(BadRequestError) as refused:
                await client.stream("Hi", model="open", temperature=9)
            assert refused.value.param == "temperature"
            both = [await client.stream("Hi", model="open") for _ in range(2)]
            return [(await stream.reply()).content for stream in both]

    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"]), Answer.chat_stream(["c"]))
    assert asyncio.run(main()) == ["ab", "c"]


def test_a_server_that_was_killed(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningServer(gateway_config(upstream, models=("open",)), tmp_path) as server,
        DeepSeekClient(server.api_key, base_url=server.base_url, max_retries=0) as client,
    ):
        upstream.enqueue(Answer.chat_stream(["x"] * 1000, every=0.05))
        stream = client.stream("Hi", model="open")
        next(stream)
        server.kill()
        with pytest.raises(StreamInterruptedError):
            stream.reply()
        assert (stream.completion_so_far().choices[0].message.content or "").startswith("x")
