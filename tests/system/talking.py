"""Conversations with a running server: begun, talked in, looked at."""

from __future__ import annotations

import json
from typing import Any

from abyssal.testing import RawConnection, RunningServer, WireResponse

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def send(
    server: RunningServer, method: str, path: str, fields: Any = None, *, key: str = "", **headers: str
) -> WireResponse:
    """One request with the server's key, or another."""
    body = b"" if fields is None else json.dumps(fields).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key or server.api_key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    with RawConnection(server.url, timeout=20) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        return connection.read_response()


def begin(server: RunningServer, **fields: Any) -> str:
    """A new conversation's id."""
    answer = send(server, "POST", "/v1/conversations", fields)
    assert answer.status == 201, answer.body
    return json.loads(answer.body)["id"]


def chat(server: RunningServer, conversation: str, text: str = "hi", **fields: Any) -> WireResponse:
    """One message in a conversation."""
    asked = {
        "model": "open",
        "messages": [{"role": "user", "content": text}],
        "conversation_id": conversation,
        **fields,
    }
    return send(server, "POST", "/v1/chat/completions", asked)


def turns(server: RunningServer, conversation: str) -> list[list[dict[str, Any]]]:
    """What each turn kept."""
    shown = send(server, "GET", f"/v1/conversations/{conversation}")
    assert shown.status == 200, shown.body
    return [turn["messages"] for turn in json.loads(shown.body)["turns"]["data"]]


def said(question: str, answer: str) -> list[dict[str, Any]]:
    """What a turn of two texts keeps."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
