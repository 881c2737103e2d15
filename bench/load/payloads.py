"""The bytes that every contender gets: one chat request, one completion, one stream of chunks."""

from __future__ import annotations

import json

MODEL = "bench-model"
PATH = "/v1/chat/completions"
MESSAGES_PATH = "/anthropic/v1/messages"
SOCKET_PATH = "/v1/stream"
EVENT_BYTES = 240

_ID = "8d9f7c52"
_CREATED = 1_763_700_000
_FINGERPRINT = "fp_bench"


def request_body(*, stream: bool, max_tokens: int = 64, prompt: str | None = None) -> bytes:
    """A chat request of about 200 bytes. `max_tokens` is how many content events the SSE upstream sends."""
    body = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You answer briefly."},
            {"role": "user", "content": prompt or "Why is the deep sea dark?"},
        ],
        "temperature": 0,
        "max_tokens": max_tokens,
        "stream": stream,
    }
    return json.dumps(body).encode()


def messages_body(*, stream: bool, max_tokens: int = 64, prompt: str | None = None) -> bytes:
    """What `request_body` asks, in Anthropic's words."""
    body = {
        "model": MODEL,
        "system": "You answer briefly.",
        "messages": [{"role": "user", "content": prompt or "Why is the deep sea dark?"}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "stream": stream,
    }
    return json.dumps(body).encode()


def socket_message(max_tokens: int) -> bytes:
    """What `request_body` asks for as a stream, as a message on a socket."""
    return b'{"type": "request", ' + request_body(stream=True, max_tokens=max_tokens)[1:]


def _usage(completion_tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": 21,
        "completion_tokens": completion_tokens,
        "total_tokens": 21 + completion_tokens,
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def completion() -> bytes:
    """A chat completion of about 600 bytes, as the official service words it."""
    answer = (
        "Water absorbs light: red goes in the first metres, blue lasts longest, and below two hundred "
        "metres almost nothing is left."
    )
    return json.dumps(
        {
            "id": _ID,
            "object": "chat.completion",
            "created": _CREATED,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _usage(31),
            "system_fingerprint": _FINGERPRINT,
        }
    ).encode()


def _event(
    delta: dict[str, object], finish: str | None = None, usage: dict[str, object] | None = None
) -> bytes:
    chunk: dict[str, object] = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": MODEL,
        "system_fingerprint": _FINGERPRINT,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    if usage is not None:
        chunk["usage"] = usage
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def first_event() -> bytes:
    """The opening delta of a stream."""
    return _event({"role": "assistant", "content": None, "reasoning_content": ""})


def content_event() -> bytes:
    """One content chunk of exactly EVENT_BYTES bytes, `data:` and the blank line included."""
    room = EVENT_BYTES - len(_event({"content": ""}))
    event = _event({"content": ("deep water " * 20)[: max(room, 0)]})
    assert len(event) == EVENT_BYTES
    return event


def last_events(completion_tokens: int) -> tuple[bytes, bytes]:
    """The chunk with `finish_reason` and `usage`, and the end mark."""
    return _event({"content": ""}, "stop", _usage(completion_tokens)), b"data: [DONE]\n\n"


def events_in_stream(content_events: int) -> int:
    """How many SSE events a reader of one stream counts."""
    return content_events + 3
