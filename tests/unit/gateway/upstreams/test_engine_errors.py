"""Errors of llama.cpp, as clients know errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abyssal.gateway.upstreams.engine_errors import official_error

PARSER = "Unable to generate parser for this template. Automatic parser generation failed: "


def told(code: int, message: str, kind: str = "invalid_request_error", **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "type": kind, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "becomes"),
    [
        (
            400,
            told(400, "request (20005 tokens) exceeds", "exceed_context_size_error", n_prompt_tokens=20005, n_ctx=96),
            (400, "invalid_request_error", "messages", "context_length_exceeded", "20005 tokens, over the context of 96"),
        ),
        (
            500,
            told(500, "Failed to parse messages: [json.exception.out_of_range.403] key 'text' not found", "server_error"),
            (400, "invalid_request_error", "messages", "invalid_value", "messages: key 'text' not found; check them."),
        ),
        (
            400,
            told(400, "Field 'n': Value must be between 1 <= value <= 4, but got 5"),
            (400, "invalid_request_error", "n", "invalid_value", "but got 5"),
        ),
        (
            400,
            told(400, f"{PARSER}JSON schema error at #: unrecognized type zzz"),
            (400, "invalid_request_error", None, "unsupported_schema", "JSON schema error at #: unrecognized type zzz;"),
        ),
        (
            400,
            told(400, "Assistant message must contain either 'content' or 'tool_calls'!"),
            (400, "invalid_request_error", None, "invalid_request", "must contain either"),
        ),
        (500, told(500, "no slot", "server_error"), (500, "server_error", None, "upstream_500", "no slot")),
    ],
    ids=["too long", "unreadable", "field", "schema", "other", "a fault of its own"],
)  # fmt: skip
def test_an_error_as_clients_know_it(status: int, body: bytes, becomes: tuple[Any, ...]) -> None:
    answered, made = official_error(status, body)
    error = json.loads(made)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answered, error["type"], error["param"], error["code"]) == becomes[:4]
    assert becomes[4] in error["message"]


@pytest.mark.parametrize("body", [b"", b"gone", b"[]", b'{"error":"text"}'])
def test_what_is_no_error_object_stays(body: bytes) -> None:
    assert official_error(502, body) == (502, body)
