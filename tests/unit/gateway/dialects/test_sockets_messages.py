"""Messages on a socket, read and written: tables of what comes in and what goes out, byte for byte."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from abyssal.gateway.dialects.sockets.messages import (
    CANCELLED,
    complaint,
    error_frame,
    frame,
    read_credential,
    read_message,
    words_of,
)
from abyssal.gateway.dialects.sockets.request import SocketRequest
from abyssal.gateway.dialects.sockets.words import AUTH_INIT, AUTH_REQUEST, BARE, Words
from abyssal.gateway.dialects.sockets.writer import SocketWriter
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError, ErrorObject, RateLimitError

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def unframed(data: bytes) -> list[Any]:
    """The messages in frames of a server, read by another library."""
    reader = Protocol(CLIENT, max_size=None)
    reader.receive_data(data)
    assert reader.parser_exc is None
    frames = [event for event in reader.events_received() if isinstance(event, Frame)]
    assert all(one.opcode is Opcode.TEXT and one.fin for one in frames)
    return [json.loads(one.data) for one in frames]


# Frames


@given(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]) | st.integers(0, 70000))
def test_a_frame_is_what_another_library_makes(length: int) -> None:
    message = b"x" * length
    assert frame(message) == Frame(Opcode.TEXT, message).serialize(mask=False)


def test_fixed_messages() -> None:
    assert unframed(CANCELLED) == [{"type": "cancelled"}]
    error = RateLimitError('"quoted"', code="c", param="p")
    whole = {"message": '"quoted"', "type": "rate_limit_error", "param": "p", "code": "c"}
    assert unframed(complaint(error, "id-1")) == [{"type": "error", "error": whole, "request_id": "id-1"}]
    (waiting,) = unframed(error_frame(error.as_json(), "id-1", b"7"))
    assert waiting["retry_after"] == 7


# What a client says

FIRST = {
    "init": ({"type": "init"}, AUTH_INIT),
    "request": ({"type": "request"}, AUTH_REQUEST),
    "bare": ({"model": "m"}, BARE),
    "a type of null": ({"type": None}, BARE),
}


@pytest.mark.parametrize(("message", "words"), FIRST.values(), ids=FIRST)
def test_the_first_message_decides(message: Any, words: Words) -> None:
    read = read_message(json.dumps(message).encode())
    assert words_of(read, None) is words
    assert words_of(read, words) is words
    for other in (AUTH_INIT, AUTH_REQUEST, BARE):
        if other is not words:
            with pytest.raises(BadRequestError) as caught:
                words_of(read, other)
            assert (caught.value.param, caught.value.code) == ("type", "unexpected_message")


def test_a_type_may_be_spelled_with_escapes() -> None:
    assert read_message(rb'{"\u0074ype":"\u0069nit"}').type == "init"


@pytest.mark.parametrize("name", ["access_token", "token"])
@pytest.mark.parametrize("said", ["T", "Bearer T", "bearer  T ", " T"])
def test_a_credential(name: str, said: str) -> None:
    fields = read_message(json.dumps({"type": "auth", name: said}).encode()).fields
    words, authorization = read_credential(fields)
    assert words is (AUTH_INIT if name == "access_token" else AUTH_REQUEST)
    assert authorization == b"Bearer T"


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_a_bad_request(data: bytes) -> None:
    with suppress(BadRequestError):
        message = read_message(data)
        words_of(message, None)
        read_credential(message.fields)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["type", "prompt", "messages", "model", "stream", "token", "access_token", "stop"])


@given(st.dictionaries(NAMES | st.text(), VALUES))
def test_no_object_is_more_than_a_bad_request(message: dict[str, Any]) -> None:
    with suppress(BadRequestError):
        read = read_message(json.dumps(message).encode())
        words = words_of(read, None)
        parse_chat_request(SocketRequest(words, read.fields, "").read(b"").body)


# Requests as the official service wants them


def official(message: Any, default_model: str = "") -> Any:
    fields = read_message(json.dumps(message).encode()).fields
    return json.loads(SocketRequest(BARE, fields, default_model).read(b"").body)


HELLO = [{"role": "user", "content": "hi"}]
REQUESTS: dict[str, tuple[Any, Any]] = {
    "prompt": ({"model": "m", "prompt": "hi"}, {"model": "m", "messages": HELLO, "stream": True}),
    "messages": ({"model": "m", "messages": HELLO}, {"model": "m", "messages": HELLO, "stream": True}),
    "no stream": (
        {"model": "m", "prompt": "hi", "stream": False},
        {"model": "m", "messages": HELLO, "stream": False},
    ),
    "nulls": (
        {"model": "m", "prompt": "hi", "messages": None, "stream": None, "stop": None},
        {"model": "m", "messages": HELLO, "stream": True, "stop": None},
    ),
    "secrets stay here": (
        {"type": "init", "model": "m", "prompt": "hi", "token": "T", "access_token": "T", "api_key": "T"},
        {"model": "m", "messages": HELLO, "stream": True},
    ),
    "numbers keep their digits": (
        {"model": "m", "prompt": "hi", "seed": 12345678901234567890, "temperature": 0.1},
        {"model": "m", "messages": HELLO, "seed": 12345678901234567890, "temperature": 0.1, "stream": True},
    ),
}


@pytest.mark.parametrize(("message", "body"), REQUESTS.values(), ids=REQUESTS)
def test_a_request(message: Any, body: Any) -> None:
    assert official(message) == body


def test_a_default_model_is_for_requests_without_one() -> None:
    assert official({"prompt": "hi"}, "standard")["model"] == "standard"
    assert official({"prompt": "hi", "model": None}, "standard")["model"] == "standard"
    assert official({"prompt": "hi", "model": "mine"}, "standard")["model"] == "mine"


# Answers


def chunks(*deltas: dict[str, Any], words: Words = AUTH_INIT) -> list[Any]:
    """What a stream of deltas becomes; a `finish_reason` or `usage` among a delta's keys is the chunk's."""
    writer = SocketWriter(words, "id-1")
    out = b""
    for delta in deltas:
        outer = {name: delta.pop(name) for name in ("usage",) if name in delta}
        choice = {name: delta.pop(name) for name in ("finish_reason", "index", "logprobs") if name in delta}
        whole = {"model": "m", "choices": [{"delta": delta} | choice]} | outer
        out += writer.chunk(msgspec.json.decode(json.dumps(whole), type=ChatCompletionChunk))
    return unframed(out + writer.end())


LAST = {"finish_reason": "stop", "usage": USAGE, "model": "m", "request_id": "id-1"}


def test_a_whole_stream_in_each_dialect() -> None:
    for words, kind, end in (
        (AUTH_INIT, {"type": "text_stream"}, {"type": "complete"}),
        (AUTH_REQUEST, {"type": "response"}, {"type": "done"}),
        (BARE, {}, {"content": ""}),
    ):
        assert chunks(
            {"role": "assistant", "content": None, "reasoning_content": ""},
            {"reasoning_content": "hm"},
            {"content": 'a"\u00fc\n'},
            {"content": ""},
            {"content": "", "finish_reason": "stop", "usage": USAGE},
            words=words,
        ) == [
            {**kind, "content": "", "reasoning_content": "hm"},
            {**kind, "content": 'a"\u00fc\n'},
            {**end, **LAST},
        ]


def test_what_stands_beside_the_text() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    logprobs = {"content": [{"token": "b", "logprob": -0.5}]}
    assert chunks(
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"content": "b", "logprobs": logprobs},
        {"content": "c", "index": 1},
        {"content": "", "index": 1},
        {"function_call": {"name": "f"}},
        {"finish_reason": "tool_calls"},
    ) == [
        {"type": "text_stream", "content": "", "tool_calls": [call]},
        {
            "type": "text_stream",
            "content": "",
            "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}],
        },
        {"type": "text_stream", "content": "b", "logprobs": logprobs},
        {"type": "text_stream", "content": "c", "index": 1},
        {"type": "text_stream", "content": "", "function_call": {"name": "f"}},
        {
            "type": "complete",
            "finish_reason": "tool_calls",
            "usage": None,
            "model": "m",
            "request_id": "id-1",
        },
    ]


def test_usage_in_a_chunk_of_its_own() -> None:
    writer = SocketWriter(BARE, "id-1")
    chunk = msgspec.json.decode(json.dumps({"choices": [], "usage": USAGE}), type=ChatCompletionChunk)
    assert writer.chunk(chunk) == b""
    assert unframed(writer.end())[0]["usage"] == USAGE


def test_a_whole_answer() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}, "type": "function"}
    body = {
        "model": "m",
        "usage": USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"content": "one", "reasoning_content": "hm"}},
            {"index": 1, "finish_reason": "stop", "message": {"content": None, "tool_calls": [call]}},
        ],
    }
    completion = msgspec.json.decode(json.dumps(body), type=ChatCompletion)
    assert unframed(SocketWriter(AUTH_REQUEST, "id-1").answer(completion)) == [
        {"type": "response", "content": "one", "reasoning_content": "hm"},
        {"type": "response", "content": "", "tool_calls": [call], "index": 1},
        {"type": "done", **LAST},
    ]


def test_a_broken_stream() -> None:
    error = {"message": "gone", "type": "upstream_error", "param": None, "code": "upstream_closed"}
    said = SocketWriter(BARE, "id-1").broken(ErrorObject(**error))
    assert unframed(said) == [{"type": "error", "error": error, "request_id": "id-1"}]


@given(st.text(min_size=1))
def test_any_text_arrives(text: str) -> None:
    for words in (AUTH_INIT, AUTH_REQUEST, BARE):
        assert chunks({"content": text}, words=words)[0]["content"] == text
