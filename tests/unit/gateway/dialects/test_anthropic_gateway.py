"""Anthropic calls through the whole gateway: the same stages and books as a chat, answered in Anthropic's form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.dialects.anthropic_events import events_of, message_of
from tests.unit.gateway.messages import DONE, KEY, LAST, USAGE, Answer, chunk, completion
from tests.unit.gateway.stage import Client, Stage

MESSAGES = "/anthropic/v1/messages"
HI = [{"role": "user", "content": "hi"}]


def ask(
    client: Client, path: str = MESSAGES, key: str = KEY, body: bytes | None = None, **fields: Any
) -> Client:
    """An Anthropic call with `fields`, or with `body`."""
    if body is None:
        body = json.dumps({"model": "m", "max_tokens": 100, "messages": HI} | fields).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway.test\r\nx-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n"
    )
    return client.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def error_of(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    assert (set(body), body["type"]) == ({"type", "error"}, "error")
    assert set(body["error"]) == {"type", "message", "param", "code"}
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-request-id")
    return body["error"]


def test_a_plain_call(stage: Stage) -> None:
    client = ask(stage.client(), system="Be brief.", metadata={"user_id": "u"})
    server = stage.server.last
    assert server.request.target == "/base/chat/completions"
    assert server.request.header("x-api-key") is None
    assert server.request.header("authorization") == "Bearer upstream-secret"
    assert server.request.json() == {
        "model": "their-model", "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_tokens": 100, "user_id": "u",
    }  # fmt: skip
    server.answer(completion("hello", model="their-model"))
    answer = client.answer()
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    message = answer.json()
    assert (message["id"], message["model"], message["stop_reason"]) == ("msg_x", "their-model", "end_turn")
    assert message["content"] == [{"type": "text", "text": "hello"}]
    (settled,) = stage.settled
    assert settled.status == 200
    assert (settled.prompt_tokens, settled.completion_tokens) == (
        USAGE["prompt_tokens"], USAGE["completion_tokens"],
    )  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_stream(stage: Stage, size: int) -> None:
    client = ask(stage.client(), stream=True)
    server = stage.server.last.begin_stream()
    events = b"".join(
        event + b"\n\n" for event in (b": wait", chunk("a"), b": more", chunk("\u2028b"), LAST, DONE)
    )
    server.say(b"%x\r\n%b\r\n" % (len(events), events), size=size)
    server.end_stream()
    answer = client.answer()
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    message = message_of(answer.body)
    assert message["content"] == [{"type": "text", "text": "a\u2028b"}]
    assert message["usage"]["output_tokens"] == USAGE["completion_tokens"]
    (settled,) = stage.settled
    assert (settled.status, settled.completion_tokens) == (200, USAGE["completion_tokens"])


def test_events_are_written_as_they_come(stage: Stage) -> None:
    client = ask(stage.client(), stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"))
    first = events_of(client.answers()[0].body)
    assert [event["type"] for event in first] == [
        "message_start", "content_block_start", "content_block_delta",
    ]  # fmt: skip
    server.stream(chunk("b"))
    assert events_of(client.answers()[0].body)[3:] == [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}}
    ]


def test_a_stream_that_breaks_ends_with_an_error(stage: Stage) -> None:
    client = ask(stage.client(), stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"))
    server.close(ConnectionResetError(104, "reset"))
    *_, last = events_of(client.answer().body)
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert stage.settled[0].status == 502


def test_what_is_refused_before_an_upstream_is_asked(stage: Stage) -> None:
    error = error_of(ask(stage.client(), messages=[{"role": "user"}]).answer())
    assert (error["type"], error["param"]) == ("invalid_request_error", "messages[0].content")
    error = error_of(ask(stage.client(), model="claude-opus-4-8").answer())
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")
    stranger = ask(stage.client(), key="sk-of-a-stranger-0000000").answer()
    assert (stranger.status, error_of(stranger)["type"]) == (401, "authentication_error")
    assert not stage.server.connections
    assert [record.status for record in stage.refused] == [400, 400, 401]


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (429, "rate_limit_error"), (503, "overloaded_error")]
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_error_of_the_upstream(stage: Stage, status: int, kind: str, stream: bool) -> None:
    client = ask(stage.client(), stream=stream)
    error = {"message": "No.", "type": "t", "param": None, "code": "c"}
    stage.server.last.answer(json.dumps({"error": error}).encode(), status, b"retry-after: 7\r\n")
    answer = client.answer()
    assert (answer.status, answer.header("retry-after")) == (status, "7")
    assert error_of(answer) == {"type": kind, "message": "No.", "param": None, "code": "c"}


def test_an_answer_that_cannot_be_read(stage: Stage) -> None:
    client = ask(stage.client())
    stage.server.last.answer(b'{"choices": "none"}')
    answer = client.answer()
    assert (answer.status, error_of(answer)["type"]) == (502, "api_error")


def test_tokens_are_counted_without_an_upstream(stage: Stage) -> None:
    path = f"{MESSAGES}/count_tokens?beta=true"
    answer = ask(
        stage.client(), path, body=json.dumps({"model": "claude-x", "messages": HI}).encode()
    ).answer()
    assert (answer.status, answer.json()) == (200, {"input_tokens": 5})
    refused = ask(stage.client(), path, body=b"{}").answer()
    assert (refused.status, error_of(refused)["param"]) == (400, "model")
    assert ask(stage.client(), path, key="sk-of-a-stranger-0000000").answer().status == 401
    assert not stage.server.connections


def test_another_method(stage: Stage) -> None:
    client = stage.client().send(f"GET {MESSAGES} HTTP/1.1\r\nHost: g\r\nx-api-key: {KEY}\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.header("allow")) == (405, "POST")
