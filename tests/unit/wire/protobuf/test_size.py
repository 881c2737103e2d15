"""How much smaller a chat of 50 turns is in Protobuf than in compact JSON, both sides of it, without compression.

What is saved are names, quotes and brackets. A chat that uses tools has many of them, and so has a stream,
which says them with every token; a request of long prose is nearly all text, which no encoding makes shorter.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.wire.protobuf import CHAT, StreamReader, StreamWriter, encode_answer, encode_request
from abyssal.wire.sse import Event

QUESTION = "And what will the weather be like in {place} on {day}, please?"
ANSWER = "In {place} it will be sunny on {day}, with a light wind from the west and 21 degrees at noon."
PLACES = ["Paris", "Shanghai", "Reykjavik", "Nairobi", "Lima"]
DAYS = ["Monday", "Tuesday", "Friday", "Saturday"]
TURNS = 50
HEAD = {
    "id": "930c60df-bf64-41c9-a88e-3ec75f81e00e",
    "created": 1_796_000_000,
    "model": "deepseek-chat",
    "system_fingerprint": "fp_a49d71b8a1",
}
USAGE = {
    "prompt_tokens": 5321,
    "completion_tokens": 48,
    "total_tokens": 5369,
    "prompt_cache_hit_tokens": 5248,
    "prompt_cache_miss_tokens": 73,
    "prompt_tokens_details": {"cached_tokens": 5248},
}


def said(template: str, turn: int) -> str:
    return template.format(place=PLACES[turn % len(PLACES)], day=DAYS[turn % len(DAYS)])


def turn_of(turn: int, tools: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": said(QUESTION, turn)}]
    if tools:
        call_id = f"call_00_{turn:024x}"
        arguments = said('{{"city": "{place}", "day": "{day}"}}', turn)
        call = {
            "index": 0,
            "id": call_id,
            "type": "function",
            "function": {"name": "get_weather", "arguments": arguments},
        }
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call_id, "content": '{"sky": "sunny", "high": 21}'})
    messages.append({"role": "assistant", "content": said(ANSWER, turn)})
    return messages


def request(turns: int, *, tools: bool) -> bytes:
    """The request of the turn after `turns`."""
    messages = [{"role": "system", "content": "You are a helpful assistant."}]
    for turn in range(turns):
        messages += turn_of(turn, tools)
    messages.append({"role": "user", "content": said(QUESTION, turns)})
    return msgspec.json.encode({"model": "deepseek-chat", "messages": messages, "stream": not tools})


def answer(turn: int) -> bytes:
    message = {"role": "assistant", "content": said(ANSWER, turn)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return msgspec.json.encode({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def stream(turn: int) -> list[Event]:
    """An answer as the official service streams it, a word a chunk."""
    words = said(ANSWER, turn).split(" ")
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": f"{word} "}, "logprobs": None, "finish_reason": None}
        for word in words
    ]
    choices.append({"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": "stop"})
    chunks: list[dict[str, Any]] = [
        {**HEAD, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices
    ]
    chunks[-1]["usage"] = USAGE
    return [Event(msgspec.json.encode(chunk)) for chunk in chunks] + [Event(b"[DONE]")]


def saved(json_bytes: int, protobuf_bytes: int) -> float:
    return 1 - protobuf_bytes / json_bytes


def test_a_chat_with_tools() -> None:
    asked, told = request(TURNS, tools=True), answer(TURNS)
    smaller = saved(len(asked) + len(told), len(encode_request(CHAT, asked)) + len(encode_answer(CHAT, told)))
    print(f"a chat with tools, its last request and answer: {smaller:.0%} smaller")
    assert smaller > 1 / 3


def test_an_answer_alone() -> None:
    told = answer(TURNS)
    smaller = saved(len(told), len(encode_answer(CHAT, told)))
    print(f"an answer alone: {smaller:.0%} smaller")
    assert smaller > 1 / 3


def test_a_whole_chat_of_prose_streamed() -> None:
    json_bytes = protobuf_bytes = 0
    for turn in range(TURNS):
        asked, events, writer = request(turn, tools=False), stream(turn), StreamWriter(CHAT)
        json_bytes += len(asked) + sum(len(event.data) + len(b"data: \n\n") for event in events)
        streamed = b"".join(map(writer.write, events))
        assert len(StreamReader().feed(streamed)) == len(events)
        protobuf_bytes += len(encode_request(CHAT, asked)) + len(streamed)
    smaller = saved(json_bytes, protobuf_bytes)
    print(f"50 turns of prose, requests and streams: {smaller:.0%} smaller")
    assert smaller > 1 / 3


def test_a_request_of_prose_is_smaller_all_the_same() -> None:
    asked = request(TURNS, tools=False)
    smaller = saved(len(asked), len(encode_request(CHAT, asked)))
    print(f"the last request of prose alone: {smaller:.0%} smaller")
    assert smaller > 0.1
