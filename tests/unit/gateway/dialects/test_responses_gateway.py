"""Responses through the whole gateway: the same stages, books and refusals as a chat call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, LAST, USAGE, chat, chunk, completion
from tests.unit.gateway.stage import Client, Stage

from abyssal.wire.sse import EventDecoder


def ask(stage: Stage, path: str = "/responses", body: bytes | None = None, **fields: Any) -> Client:
    body = body or json.dumps({"model": "m", "input": "hello there"} | fields).encode()
    return stage.client().send(chat(body, line=b"POST %b HTTP/1.1\r\n" % path.encode()))


def events(client: Client) -> list[dict[str, Any]]:
    found = EventDecoder().feed(client.answers()[0].body)
    return [json.loads(event.data) for event in found]


def kinds(client: Client) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(client)]


@pytest.mark.parametrize("path", ["/responses", "/v1/responses"])
def test_a_plain_call(stage: Stage, path: str) -> None:
    client = ask(stage, path, max_output_tokens=20)
    server = stage.server.last
    assert server.request.target == "/base/chat/completions"
    assert server.request.json() == {
        "model": "their-model",
        "messages": [{"role": "user", "content": "hello there"}],
        "max_tokens": 20,
    }
    server.answer(completion("Hello!"))
    answer = client.answer()
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    response = answer.json()
    assert (response["object"], response["status"]) == ("response", "completed")
    assert response["output"][0]["content"][0]["text"] == "Hello!"
    (settled,) = stage.settled
    assert (settled.status, settled.prompt_tokens, settled.completion_tokens) == (200, 11, 5)


def test_a_stream(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"))
    assert kinds(client) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
    ]  # fmt: skip
    server.stream(chunk("b"))
    assert kinds(client)[5:] == ["output_text.delta"]
    server.stream(LAST, DONE).end_stream()
    answer = client.answer()
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert b"[DONE]" not in answer.body
    last = events(client)[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["usage"]["total_tokens"] == USAGE["total_tokens"]
    assert last["response"]["output"][0]["content"][0]["text"] == "ab"
    (settled,) = stage.settled
    assert (settled.status, settled.stream, settled.completion_tokens) == (200, True, 5)


def test_a_stream_in_single_bytes(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    for event in (chunk("日"), chunk("本"), LAST, DONE):
        data = event + b"\n\n"
        server.say(b"%x\r\n%b\r\n" % (len(data), data), size=1)
    server.end_stream()
    assert events(client)[-1]["response"]["output"][0]["content"][0]["text"] == "日本"


def test_an_upstream_that_breaks_in_the_stream(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"))
    server.close()
    last = events(client)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == stage.settled[0].code
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert client.answer().complete


def test_an_error_event_of_the_upstream(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    error = {"error": {"message": "Too busy.", "type": "server_error", "param": None, "code": "busy"}}
    server.stream(chunk("a"), b"data: " + json.dumps(error, separators=(",", ":")).encode()).end_stream()
    last = events(client)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "busy", "message": "Too busy."}


def test_garbage_in_the_stream(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"), b"data: {]", chunk("b"), LAST, DONE).end_stream()
    last = events(client)[-1]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "upstream_garbage")
    assert client.answer().complete


@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_the_answer(stage: Stage, stream: bool) -> None:
    client = ask(stage, stream=stream)
    error = {"message": "No.", "type": "invalid_request_error", "param": "max_tokens", "code": "c"}
    stage.server.last.answer(json.dumps({"error": error}).encode(), status=400)
    answer = client.answer()
    assert answer.status == 400
    assert answer.error == error | {"param": "max_output_tokens"}


@pytest.mark.parametrize(
    ("fields", "status", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, 400, "previous_response_id", "unsupported_parameter"),
        ({"model": "nobody"}, 404, "model", "model_not_found"),
        ({"temperature": 3}, 400, "temperature", "invalid_value"),
        ({"thinking": {"type": "some"}}, 400, "thinking.type", "invalid_value"),
        ({"input": []}, 400, "input", "invalid_value"),
    ],
)
def test_what_is_refused_reaches_nobody(
    stage: Stage, fields: dict[str, Any], status: int, param: str, code: str
) -> None:
    answer = ask(stage, **fields).answer()
    assert (answer.status, answer.error["param"], answer.error["code"]) == (status, param, code)
    assert stage.server.connections == []
    assert [(record.status, record.code) for record in stage.refused] == [(status, code)]


def test_other_methods(stage: Stage) -> None:
    line = b"DELETE /responses HTTP/1.1\r\n"
    answer = stage.client().send(chat(b"", line=line)).answer()
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_a_client_that_leaves_ends_it(stage: Stage) -> None:
    client = ask(stage, stream=True)
    server = stage.server.last.begin_stream()
    server.stream(chunk("a"))
    client.leave()
    assert server.closed
    assert stage.settled[0].status == 499


# As some servers write what is official but for that.
ODD_CHUNKS = {
    "times with a fraction": {"created": 1_700_000_000.5},
    "nulls": {
        "id": None,
        "model": None,
        "object": None,
        "usage": {"prompt_tokens": 1, "completion_tokens": None},
    },
    "no delta": {"choices": [{"index": None, "delta": None, "finish_reason": None}]},
    "indexes as texts": {
        "choices": [
            {"index": "0", "delta": {"tool_calls": [{"index": "0", "id": "c", "function": {"name": "f"}}]}}
        ]
    },
}


@pytest.mark.parametrize("odd", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_a_chunk_that_is_nearly_official(stage: Stage, odd: dict[str, Any]) -> None:
    client = ask(stage, stream=True)
    chunks = chunk("a"), chunk("", **odd), chunk("b"), LAST, DONE
    stage.server.last.begin_stream().stream(*chunks).end_stream()
    last = events(client)[-1]
    assert last["type"] == "response.completed"
    assert "ab" in "".join(
        part["text"] for item in last["response"]["output"] for part in item.get("content", ())
    )


def test_an_answer_that_is_nearly_official(stage: Stage) -> None:
    client = ask(stage)
    call = {"id": None, "type": None, "function": {"name": "f", "arguments": None}}
    message = {"role": None, "content": None, "tool_calls": [call]}
    choices = [{"index": None, "message": message, "finish_reason": "tool_calls"}]
    stage.server.last.answer(completion(created=1.5, choices=choices))
    (item,) = client.answer().json()["output"]
    assert (item["type"], item["name"]) == ("function_call", "f")
