"""Conversations that the platform keeps, blocking and asyncio, over both transports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from abyssal import (
    ApiConnectionError,
    Conversation,
    NotFoundError,
    OpenAICompatibilityError,
    StreamInterruptedError,
    Turn,
)

from .face import Face, opened_face
from .raw_server import RawServer, answer, completion, error_body, framed

CONVERSATION = {
    "id": "conv_1",
    "object": "conversation",
    "title": None,
    "metadata": {"a": "b"},
    "user_id": "ada",
    "messages": [{"role": "system", "content": "Be brief."}],
    "turn_count": 1,
    "ttl": 60,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-31T00:00:00Z",
}
TURN = {
    "number": 1,
    "object": "conversation.turn",
    "conversation_id": "conv_1",
    "request_id": "6",
    "model": "m",
    "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
    "created_at": "2026-01-01T00:00:00Z",
}


def page(*data: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(data), "has_more": False, "next": None} | fields


def test_a_new_conversation(server: RawServer, face: Face) -> None:
    server.will(answer(CONVERSATION, 201, x_request_id="r-1"))
    made = face.run(face.client.conversations.create(system_prompt="Be brief.", user_id="ada", ttl=60))
    assert type(made) is Conversation
    assert (made.id, made.metadata, made.ttl, made.request_id) == ("conv_1", {"a": "b"}, 60, "r-1")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/conversations")
    assert request.json == {"system_prompt": "Be brief.", "user_id": "ada", "ttl": 60}
    assert len(request.headers["idempotency-key"]) == 32


def test_a_retry_begins_no_second_conversation(server: RawServer, face: Face) -> None:
    server.will(lambda peer: peer.close(), answer(error_body(), 503), answer(CONVERSATION, 201))
    assert face.run(face.client.conversations.create()).id == "conv_1"
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    face.run(face.client.conversations.create())
    assert server.requests[-1].headers["idempotency-key"] != keys[0]
    face.run(face.client.conversations.create(idempotency_key="mine"))
    assert server.requests[-1].headers["idempotency-key"] == "mine"


def test_a_list_and_one_with_its_turns(server: RawServer, face: Face) -> None:
    server.will(
        answer(page(CONVERSATION, has_more=True, next="n")), answer(CONVERSATION | {"turns": page(TURN)})
    )
    listed = face.run(face.client.conversations.list(limit=1, user_id="ada l&"))
    assert [one.id for one in listed] == ["conv_1"]
    assert (len(listed), listed.has_more, listed.next) == (1, True, "n")
    assert server.requests[0].target == "/v1/conversations?limit=1&user_id=ada+l%26"
    one = face.run(face.client.conversations.retrieve("conv_1", after="n"))
    assert [turn.messages[1]["content"] for turn in one.turns] == ["Hi."]
    assert len(one.turns) == 1
    assert (server.requests[1].method, server.requests[1].target) == (
        "GET",
        "/v1/conversations/conv_1?after=n",
    )


def test_deleting(server: RawServer, face: Face) -> None:
    server.will(
        answer({"id": "a/b", "object": "conversation.deleted", "deleted": True}),
        answer({"object": "conversations.deleted", "user_id": "ada", "deleted": 2}),
    )
    assert face.run(face.client.conversations.delete("a/b")).deleted is True
    gone = face.run(face.client.conversations.delete_all(user_id="ada"))
    assert (gone.user_id, gone.deleted) == ("ada", 2)
    assert [(one.method, one.target) for one in server.requests] == [
        ("DELETE", "/v1/conversations/a%2Fb"),
        ("DELETE", "/v1/conversations?user_id=ada"),
    ]


def exported(*pieces: bytes, end: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + framed(*pieces, end=end)


def lines(*values: Any) -> bytes:
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


def all_of(face: Face, opened: Any) -> list[Any]:
    async def drain() -> list[Any]:
        return [one async for one in opened]

    return list(opened) if face.kind == "sync" else face.run(drain())


def test_an_export_however_it_is_cut(server: RawServer, face: Face) -> None:
    whole = lines(CONVERSATION, TURN, CONVERSATION | {"id": "conv_2"})[:-1]
    server.will(exported(whole[:7], whole[7:300], whole[300:]), exported(), exported(b"\n"))
    opened = face.run(face.client.conversations.export(user_id="ada"))
    given = all_of(face, opened)
    assert [type(one) for one in given] == [Conversation, Turn, Conversation]
    assert given[2].id == "conv_2"
    assert server.requests[0].target == "/v1/conversations?user_id=ada&format=jsonl"
    for _ in range(2):
        assert all_of(face, face.run(face.client.conversations.export())) == []
    assert server.requests[1].target == "/v1/conversations?format=jsonl"


def test_an_export_that_is_cut_off_says_so(server: RawServer, face: Face) -> None:
    def cut(peer: Any) -> None:
        peer.send(exported(lines(CONVERSATION), end=False))
        peer.close()

    server.will(cut)
    opened = face.run(face.client.conversations.export())
    assert face.next(opened).id == "conv_1"
    with pytest.raises(StreamInterruptedError, match="not whole"):
        face.next(opened)


def test_an_export_can_be_closed(server: RawServer, face: Face) -> None:
    server.will(exported(lines(CONVERSATION, TURN), end=False))
    opened = face.run(face.client.conversations.export())
    face.next(opened)
    face.close(opened)
    face.close(opened)
    assert [type(one) for one in all_of(face, opened)] == [Turn]  # it had come


def test_a_line_that_is_none(server: RawServer) -> None:
    server.will(exported(b'{"object":"news"}\n'))
    with (
        opened_face("sync-direct", server.url) as face,
        pytest.raises(StreamInterruptedError, match="export"),
    ):
        list(face.client.conversations.export())


def test_what_is_not_there(server: RawServer, face: Face) -> None:
    server.will(answer(error_body("gone", code="conversation_not_found"), 404))
    with pytest.raises(NotFoundError, match="gone"):
        face.run(face.client.conversations.retrieve("conv_2"))
    with pytest.raises(NotFoundError):
        face.run(face.client.conversations.export())


def test_what_is_no_conversation(server: RawServer) -> None:
    server.will(answer({"ok": True}))
    with opened_face("sync-direct", server.url) as face:
        for call in (
            face.client.conversations.create,
            face.client.conversations.list,
        ):
            with pytest.raises(OpenAICompatibilityError):
                call()


# A turn that may have been made is not made again


@pytest.mark.parametrize("way", ["sync-direct", "async-direct"])
def test_a_turn_that_may_have_been_made_is_not_asked_for_again(server: RawServer, way: str) -> None:
    server.will(lambda peer: peer.close(), answer(completion()))
    with opened_face(way, server.url) as face:
        with pytest.raises(ApiConnectionError) as caught:
            face.create(conversation_id="conv_1")
        assert "may have carried it out" in caught.value.__notes__[0]
        assert len(server.requests) == 1
        assert face.create(conversation_id="conv_1").choices
        server.will(lambda peer: peer.close(), lambda peer: peer.close(), answer(completion()))
    with opened_face(way, server.url) as face:
        assert face.create().choices


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda client: client.conversations.retrieve(None), TypeError, "needs an id"),
        (lambda client: client.conversations.delete("x", user_id="y"), TypeError, "'user_id'; leave it out"),
        (lambda client: client.conversations.create(titel="y"), TypeError, "did you mean title?"),
        (lambda client: client.conversations.list(limits=3), TypeError, "did you mean limit?"),
    ],
)
def test_arguments_that_cannot_be_sent(server: RawServer, call: Any, error: type, words: str) -> None:
    with opened_face("sync-direct", server.url) as face, pytest.raises(error) as caught:
        call(face.client)
    assert words in str(caught.value)
    assert server.requests == []
