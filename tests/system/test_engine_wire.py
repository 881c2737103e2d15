"""What llama.cpp's server sends: the facts of docs/engine.md that the gateway builds on.

A new version that changes one is noticed here.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abyssal.engine.bundled import BUNDLED_MODEL
from abyssal.engine.spec import EngineSpec

PATIENCE = 30.0
HELLO = [{"role": "user", "content": "Hello"}]
LONG = {"messages": HELLO, "ignore_eos": True, "temperature": 0}


class UnixConnection(http.client.HTTPConnection):
    """`http.client` over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=PATIENCE)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@pytest.fixture(scope="module")
def engine() -> Iterator[Path]:
    """An engine of one slot; its socket."""
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:
        path = Path(directory) / "e.sock"
        spec = EngineSpec(name="tiny", model=BUNDLED_MODEL, socket=str(path), context=2048, slots=1)
        arguments = [sys.executable, "-m", "abyssal.engine.child"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(
                json.dumps({f: getattr(spec, f) for f in spec.__struct_fields__}).encode() + b"\n"
            )
            process.stdin.flush()
            wait_healthy(path)
            yield path
            process.terminate()


def wait_healthy(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if ask(path, "GET", "/health")[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(path: Path, method: str, target: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = UnixConnection(path)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, target, data)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def chat(path: Path, **fields: Any) -> tuple[int, http.client.HTTPMessage, bytes]:
    return ask(path, "POST", "/v1/chat/completions", {"messages": HELLO, "max_tokens": 4, **fields})


def events(body: bytes) -> list[Any]:
    """The data of each event of a stream, decoded but for the last, `[DONE]`."""
    assert body.endswith(b"\n\n")
    data = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
    assert data.pop() == b"[DONE]"
    return [json.loads(piece) for piece in data]


def test_health(engine: Path) -> None:
    status, headers, body = ask(engine, "GET", "/health")
    assert (status, body) == (200, b'{"status":"ok"}')
    assert headers["content-type"] == "application/json; charset=utf-8"


def test_a_plain_answer(engine: Path) -> None:
    status, headers, body = chat(engine, model="whatever was asked")
    answer = json.loads(body)
    assert status == 200
    assert headers["content-length"] == str(len(body))
    assert answer["model"] == "tiny"
    assert answer["system_fingerprint"] == "b0-unknown"
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert sorted(choice) == ["finish_reason", "index", "message"]
    assert sorted(choice["message"]) == ["content", "role"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert list(usage["prompt_tokens_details"]) == ["cached_tokens"]
    assert "timings" in answer


def test_a_stream(engine: Path) -> None:
    status, headers, body = chat(engine, stream=True, max_tokens=3, temperature=0)
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["transfer-encoding"] == "chunked"
    first, *content, last = events(body)
    assert first["choices"] == [
        {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
    ]
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in content)
    assert last["choices"] == [{"finish_reason": "length", "index": 0, "delta": {}}]
    assert "timings" in last
    assert not any("usage" in chunk for chunk in (first, *content, last))
    assert len({chunk["id"] for chunk in (first, *content, last)}) == 1
    assert len({chunk["created"] for chunk in (first, *content, last)}) == 1


def test_usage_has_a_chunk_of_its_own_when_it_is_asked_for(engine: Path) -> None:
    *_, finish, usage = events(chat(engine, stream=True, stream_options={"include_usage": True})[2])
    assert finish["choices"][0]["finish_reason"] is not None
    assert "usage" not in finish
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 0
    assert "timings" in usage


def test_a_prompt_that_is_longer_than_the_context(engine: Path) -> None:
    for stream in (False, True):
        too_long = [{"role": "user", "content": "word " * 5000}]
        status, headers, body = chat(engine, messages=too_long, stream=stream)
        error = json.loads(body)["error"]
        assert status == 400
        assert headers["content-type"].startswith("application/json")
        assert (error["type"], error["code"]) == ("exceed_context_size_error", 400)
        assert error["n_ctx"] == 2048
        assert error["n_prompt_tokens"] > 2048


@pytest.mark.parametrize("character", ["x", " ", "!", "\n", "中"])
def test_a_long_run_of_one_kind_of_character_does_not_end_the_engine(engine: Path, character: str) -> None:
    status, _, body = chat(engine, messages=[{"role": "user", "content": character * 120_000}])
    assert (status, json.loads(body)["error"]["type"]) == (400, "exceed_context_size_error")


def test_deep_arguments_do_not_end_the_engine(engine: Path) -> None:
    arguments = '{"a":' * 10_000 + "1" + "}" * 10_000
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert chat(engine, messages=messages)[0] == 400


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "invalid_request_error"),
        (b'{"model": "m"}', 400, "invalid_request_error"),
        ({"messages": HELLO, "temperature": "hot"}, 400, "invalid_request_error"),
        ({"messages": HELLO, "n": 2}, 400, "invalid_request_error"),  # more than there are slots
        # The caller's faults that llama.cpp calls its own.
        ({"messages": [{"content": "x"}]}, 500, "server_error"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}
                ]
            },
            500,
            "server_error",
        ),
    ],
)
def test_errors(engine: Path, body: Any, status: int, kind: str) -> None:
    got, headers, answer = ask(engine, "POST", "/v1/chat/completions", body)
    error = json.loads(answer)["error"]
    assert (got, error["type"], error["code"]) == (status, kind, status)
    assert error["message"]
    assert headers["content-type"] == "application/json; charset=utf-8"


def test_an_unknown_route(engine: Path) -> None:
    status, _, body = ask(engine, "POST", "/v1/nope", {})
    assert status == 404
    assert json.loads(body)["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("target", ["/", "/slots", "/metrics", "/tools"])
def test_what_is_not_for_callers_is_off(engine: Path, target: str) -> None:
    assert ask(engine, "GET", target)[0] in (403, 404, 501)


def test_a_page_of_another_origin_may_not_read(engine: Path) -> None:
    connection = UnixConnection(engine)
    connection.request("GET", "/v1/models", headers={"Origin": "http://evil.example"})
    assert connection.getresponse().headers["access-control-allow-origin"] == ""
    connection.close()


def test_a_connection_is_kept_for_a_hundred_requests(engine: Path) -> None:
    connection = UnixConnection(engine)
    for _ in range(99):
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        assert response.headers["keep-alive"] == "timeout=5, max=100"
    connection.request("GET", "/health")
    assert connection.getresponse().headers["connection"] == "close"
    connection.close()


def seconds_until_answered(engine: Path) -> float:
    before = time.monotonic()
    assert chat(engine, max_tokens=1)[0] == 200
    return time.monotonic() - before


def begun(engine: Path, **fields: Any) -> UnixConnection:
    connection = UnixConnection(engine)
    connection.request("POST", "/v1/chat/completions", json.dumps({**LONG, **fields}))
    return connection


def test_requests_beyond_the_slots_wait_and_a_stream_that_is_left_ends(engine: Path) -> None:
    staying = begun(engine, stream=True)
    first = staying.getresponse()
    waited = seconds_until_answered(engine)
    first.close()
    staying.close()
    leaving = begun(engine, stream=True)
    leaving.getresponse().close()
    leaving.close()
    assert seconds_until_answered(engine) < waited / 4


def test_health_is_answered_at_once_while_the_queue_is_full(engine: Path) -> None:
    calls = [begun(engine, stream=True) for _ in range(1 + 64)]
    before = time.monotonic()
    assert ask(engine, "GET", "/health")[0] == 200
    assert time.monotonic() - before < 1
    for call in calls:
        call.close()


def test_the_same_seed_gives_the_same_answer(engine: Path) -> None:
    texts = {
        json.loads(chat(engine, seed=7, temperature=2)[2])["choices"][0]["message"]["content"]
        for _ in range(3)
    }
    assert len(texts) == 1


def test_a_schema_binds_the_answer(engine: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [7]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    fields = {
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        "max_tokens": 200,
    }
    answer = json.loads(chat(engine, **fields)[2])
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"a": 7}


def test_log_probabilities(engine: Path) -> None:
    answer = json.loads(chat(engine, logprobs=True, top_logprobs=2, max_tokens=1)[2])
    (token,) = answer["choices"][0]["logprobs"]["content"]
    assert sorted(token) == ["bytes", "id", "logprob", "token", "top_logprobs"]
    assert len(token["top_logprobs"]) == 2
