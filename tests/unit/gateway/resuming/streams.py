"""A resumable stream on a stage: how it is asked for, read, left and resumed."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.gateway.messages import DONE, KEY, LAST, Answer, chunk
from tests.unit.gateway.stage import HASH_KEY, Client, ServerConnection, Stage

from abyssal.stores.api_keys import digest_of
from abyssal.stores.rights import ALL_SCOPES
from abyssal.stores.snapshot import CredentialRecord, Entry, ProjectRecord, encode_record

CHAT = "/v1/chat/completions"
STRANGER = "sk-stranger-0123456789ab"
NOBODY = "0.AAAAAAAAAAAAAAAAAAAAAA.1"
"""An id that was never given."""
EVENTS = [chunk(text) for text in ("one", "two", "three")]


def request(
    path: str = CHAT, body: bytes = b"", *, key: str = KEY, method: str = "POST", headers: bytes = b""
) -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (method.encode(), path.encode(), key.encode(), headers, len(body)) + body


def ask(stage: Stage, path: str = CHAT, **fields: Any) -> Client:
    """Ask for a resumable stream."""
    said = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    return stage.client().send(
        request(path, json.dumps(said | fields).encode(), headers=b"x-abyssal-resumable: 1\r\n")
    )


def begun(stage: Stage, *events: bytes) -> tuple[Client, ServerConnection]:
    """A stream under way, and who sends it."""
    client = ask(stage)
    server = stage.server.last.begin_stream()
    for event in events:
        server.stream(event)
    return client, server


def end(server: ServerConnection) -> None:
    server.stream(LAST, DONE).end_stream()


def resume(
    stage: Stage, event_id: str, path: str = CHAT, *, key: str = KEY, method: str = "POST", body: bytes = b""
) -> Client:
    """A new connection that goes on after that event."""
    line = b"Last-Event-ID: %b\r\n" % event_id.encode()
    return stage.client().send(request(path, body, key=key, method=method, headers=line))


def ids(answer: Answer) -> list[str]:
    """The ids of an answer's events, the head's first."""
    first = answer.header("x-abyssal-event-id")
    assert first is not None
    lines = answer.body.decode().splitlines()
    return [first, *[line.removeprefix("id: ") for line in lines if line.startswith("id: ")]]


def last_id(client: Client) -> str:
    (answer,) = client.answers()
    return ids(answer)[-1]


def body(client: Client) -> bytes:
    (answer,) = client.answers()
    assert answer.status == 200, answer.body
    return answer.body


def let_in_strangers(stage: Stage) -> None:
    """Another project, of the same organisation, and its key."""
    record = CredentialRecord("key_9", "api_key", "proj_2", "", ALL_SCOPES, None, None, 0)
    stage.take(
        projects=(ProjectRecord("proj_2", "org_1", ALL_SCOPES, None, (), True),),
        entries=(Entry(digest_of(STRANGER.encode(), HASH_KEY), encode_record(record)),),
    )
