"""`wire_format="protobuf"`: the same calls and the same answers, in another spelling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from abyssal import (
    ConfigurationError,
    DeepSeekClient,
    ProtocolError,
    RateLimitError,
    StreamInterruptedError,
    UnavailableError,
)
from abyssal.wire.protobuf import (
    CHAT,
    COMPLETIONS,
    CONTENT_TYPE,
    EMBEDDINGS,
    KEEP_ALIVE,
    Format,
    StreamWriter,
    decode_request,
    encode_answer,
    encode_error,
)
from abyssal.wire.sse import EventDecoder

from .face import ASK, Face, opened_face
from .raw_server import DONE, RawServer, answer, chunk, completion, error_body, framed, stream
from .test_import import run
from .test_text import packed, text, vectors

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\nx-request-id: req-7\r\n%b"
    b"transfer-encoding: chunked\r\n\r\n"
)


@pytest.fixture
def face(server: RawServer, way: str) -> Iterator[Face]:
    with opened_face(way, server.url, wire_format="protobuf") as face:
        yield face


def message(form: Format, body: Any, status: int = 200, **headers: str) -> bytes:
    body = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return answer(encode_answer(form, body), status, **headers | {"content_type": CONTENT_TYPE})


def events(form: Format, *said: bytes) -> bytes:
    writer = StreamWriter(form)
    return b"".join(writer.write(event) for event in EventDecoder().feed(b"".join(said)))


def streamed(form: Format, *said: bytes, **options: Any) -> bytes:
    data = KEEP_ALIVE + events(form, *said)
    return HEAD % b"" + framed(data[:5], data[5:11], data[11:], **options)


def test_a_chat(server: RawServer, face: Face) -> None:
    said = completion("深海", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
    server.will(message(CHAT, said, x_request_id="r-1"))
    given = face.create(temperature=0.5, extra_body={"unknown": [1, {"a": None}]})
    assert (given.choices[0].message.content, given.usage.total_tokens) == ("深海", 5)  # type: ignore[union-attr]
    assert given.request_id == "r-1"
    request = server.requests[0]
    assert (request.headers["content-type"], request.headers["accept"]) == (CONTENT_TYPE, CONTENT_TYPE)
    asked = msgspec.json.decode(decode_request(CHAT, request.body))
    assert asked == ASK | {"temperature": 0.5, "unknown": [1, {"a": None}]}


def test_a_stream(server: RawServer, face: Face) -> None:
    server.will(streamed(CHAT, chunk("a", model="m"), chunk("b", finish="stop", model="m"), DONE))
    opened = face.open()
    assert face.texts(opened) == ["a", "b"]
    whole = face.final(opened)
    assert (whole.choices[0].message.content, whole.model, whole.request_id) == ("ab", "m", "req-7")
    assert msgspec.json.decode(decode_request(CHAT, server.requests[0].body))["stream"] is True


def test_the_text_routes_and_embeddings(server: RawServer, face: Face) -> None:
    server.will(message(COMPLETIONS, text("x")), message(COMPLETIONS, text("y")))
    assert face.run(face.client.completions.create(model="m", prompt="Once")).text == "x"
    assert face.run(face.client.text.generate("Once")).text == "y"
    server.will(message(EMBEDDINGS, vectors((0, packed(0.5)))), message(EMBEDDINGS, vectors((0, [0.25]))))
    server.requests.clear()
    assert face.run(face.client.embeddings.create(model="m", input="a")).data[0].embedding == [0.5]
    floats = face.client.embeddings.create(model="m", input="a", encoding_format="float")
    assert face.run(floats).data[0].embedding == [0.25]


def test_errors(server: RawServer, face: Face) -> None:
    busy = encode_error(msgspec.json.encode(error_body("busy", code="rate_limit_exceeded")))
    server.will(answer(busy, 429, retry_after="7", content_type=CONTENT_TYPE))
    with pytest.raises(RateLimitError, match="busy") as caught:
        face.create()
    assert (caught.value.code, caught.value.retry_after) == ("rate_limit_exceeded", 7)
    with pytest.raises(RateLimitError, match="busy"):
        face.open()


def test_an_error_in_a_stream(server: RawServer, face: Face) -> None:
    told = b'data: {"error":{"message":"down","type":"t","code":"unavailable"}}\n\n'
    server.will(streamed(CHAT, chunk("a"), told))
    with pytest.raises(UnavailableError, match="down"):
        face.texts(face.open())


def test_a_stream_that_is_cut_goes_on(server: RawServer, face: Face) -> None:
    def half(peer: Any) -> None:
        data = events(CHAT, b"id: s.1\n" + chunk("a", model="m"))
        peer.send(HEAD % b"x-abyssal-event-id: s.0\r\n" + framed(data, data[:3], end=False))
        peer.close()

    server.will(half, streamed(CHAT, b"id: s.2\n" + chunk("b", finish="stop", model="m"), DONE))
    assert face.texts(face.open(resumable=True)) == ["a", "b"]
    assert server.requests[1].headers["last-event-id"] == "s.1"
    server.will(half)
    with pytest.raises(StreamInterruptedError):
        face.texts(face.open())


def test_a_service_that_answers_in_json_is_understood(server: RawServer, face: Face) -> None:
    server.will(answer(completion("plain")), answer(error_body("who?"), 400))
    assert face.create().choices[0].message.content == "plain"
    with pytest.raises(Exception, match=r"who\?"):
        face.create()


@pytest.mark.parametrize("content", [b"\xff", b"\x0a\xff\x01", b"{}"])
def test_what_is_no_message(server: RawServer, content: bytes) -> None:
    server.will(answer(content, content_type=CONTENT_TYPE))
    with opened_face("sync-direct", server.url, wire_format="protobuf") as face, pytest.raises(ProtocolError):
        face.create()


def test_other_routes_stay_in_json(server: RawServer, face: Face) -> None:
    server.will(answer({"data": [{"id": "a"}]}))
    assert [model.id for model in face.run(face.client.models.list())] == ["a"]
    assert server.requests[0].headers["accept"] == "application/json"


def test_a_session_and_tools(server: RawServer) -> None:
    def weather(city: str) -> str:
        return f"rain in {city}"

    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"B"}'}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    asks = {"choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"}]}
    server.will(message(CHAT, asks), message(CHAT, completion("Rain.")))
    with opened_face("sync-direct", server.url, wire_format="protobuf") as face:
        done = face.client.run_tools(model="m", messages=ASK["messages"], tools=[weather])
        assert done.content == "Rain."
        asked = msgspec.json.decode(decode_request(CHAT, server.requests[1].body))
        assert asked["messages"][-1] == {"role": "tool", "tool_call_id": "c", "content": "rain in B"}
        assert face.client.create_session(model="m").send_message("Hi").content == "Rain."


def test_json_streams_from_a_proxy_are_an_error_and_not_silence(server: RawServer) -> None:
    server.will(stream(chunk("a", finish="stop"), DONE))
    with opened_face("sync-direct", server.url, wire_format="protobuf") as face, pytest.raises(ProtocolError):
        face.texts(face.open())


def test_another_name() -> None:
    with pytest.raises(ConfigurationError, match='"json" and "protobuf"'):
        DeepSeekClient("sk-x", wire_format="xml")  # type: ignore[arg-type]


def test_json_loads_no_protobuf() -> None:
    code = """
import sys
from abyssal import DeepSeekClient
DeepSeekClient("sk-x", base_url="http://127.0.0.1:1", wire_format="protobuf").close()
print([name for name in sys.modules if "protobuf" in name])
"""
    assert run(code) == "[]"
