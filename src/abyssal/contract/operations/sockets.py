"""Streams over WebSocket: an upgrade, then messages, which OpenAPI has no words for."""

from __future__ import annotations

from abyssal.contract.operation import Answer, Operation

_UPGRADE = (
    '-H "Connection: Upgrade" -H "Upgrade: websocket" -H "Sec-WebSocket-Version: 13" '
    '-H "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="'
)
_MESSAGES = """Text messages, one JSON object each; the first ones decide the dialect.

- **auth, init**: `{"type":"auth","access_token":T}`, then `{"type":"init","model":M,"prompt":P}`; answered
  by `{"type":"text_stream","content":…}` …, `{"type":"complete","usage":…}`.
- **auth, request**: `{"type":"auth","token":"Bearer T"}`, then `{"type":"request","model":M,"prompt":P}`;
  answered by `{"type":"response","content":…}` …, `{"type":"done","usage":…}`. The socket stays open.
- **bare**: `{"model":M,"prompt":P}` with credentials in the upgrade's headers; answered by `{"content":…}` …,
  the last with `finish_reason` and `usage`; then the server closes (1000).

`messages` may stand in place of `prompt`, beside any field of a chat request. `{"type":"cancel"}` ends a
request. With `"resumable":true` each message of the answer has an `event_id`, and on another socket
`{"type":"resume","last_event_id":"…"}` goes on after it. Errors are `{"type":"error","error":{…}}`. Close
codes: 4401 credentials, 4429 a limit, 1001 the platform stops, 1009 a message over 1 MiB."""


def _socket(path: str, name: str, summary: str, says: str, model: str) -> Operation:
    return Operation(
        id=name,
        method="GET",
        path=path,
        tag="WebSocket",
        summary=summary,
        says=says + "\n\n" + _MESSAGES,
        scope="chat",
        answers=(Answer("The upgrade (RFC 6455); messages follow.", status=101),),
        errors=(426,),
        curl=f'curl -sSi -m 1 "$BASE{path}" -H "Authorization: Bearer $KEY" {_UPGRADE} || test $? = 28',
        python=f'with connect(base.replace("http", "ws") + "{path}", '
        'additional_headers={"Authorization": f"Bearer {key}"}) as socket: '
        f'socket.send(json.dumps({{{model}"prompt": "Say hello.", "max_tokens": 16}})); '
        "print([json.loads(message) for message in socket])",
    )


SOCKETS: tuple[Operation, ...] = (
    _socket("/v1/stream", "openStream", "Stream a text", "", '"model": "deepseek-chat", '),
    _socket(
        "/v1/chat/stream",
        "openChatStream",
        "Stream a chat",
        "As `/v1/stream`; `model` is `deepseek-chat` unless named.",
        "",
    ),
)
