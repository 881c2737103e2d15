"""Sessions whose turns the service keeps, and clients with other settings, blocking and asyncio."""

from __future__ import annotations

from typing import Any

import pytest

from abyssal import ConfigurationError, DeepSeekClient, NotFoundError, UnavailableError

from .face import Face, opened_face
from .raw_server import DONE, RawServer, answer, chunk, completion, error_body, stream
from .test_conversations import CONVERSATION

OPTIONS = {"model": "m", "temperature": 0.5}


def send(face: Face, session: Any, text: str) -> str:
    return face.run(session.send_message(text)).content


def test_the_first_message_begins_a_conversation(server: RawServer, face: Face) -> None:
    server.will(answer(CONVERSATION, 201), answer(completion("one")), answer(completion("two")))
    session = face.client.create_session(server=True, system_prompt="Be brief.", user_id="ada", **OPTIONS)
    assert (session.conversation_id, server.requests) == (None, [])
    assert [send(face, session, "a"), send(face, session, "b")] == ["one", "two"]
    assert session.conversation_id == "conv_1"
    begun, *calls = server.requests
    assert begun.target == "/v1/conversations"
    assert begun.json == {"system_prompt": "Be brief.", "user_id": "ada"}
    assert [call.json for call in calls] == [
        OPTIONS
        | {"user_id": "ada", "conversation_id": "conv_1", "messages": [{"role": "user", "content": said}]}
        for said in ("a", "b")
    ]
    assert [message["content"] for message in session.messages] == ["Be brief.", "a", "one", "b", "two"]


def test_one_that_was_begun(server: RawServer, face: Face) -> None:
    server.will(stream(chunk("one"), chunk(finish="stop"), DONE))
    session = face.client.create_session(conversation_id="conv_9", **OPTIONS)
    opened = face.run(session.send_message("a", stream=True))
    assert face.run(opened.reply()).content == "one"
    assert session.conversation_id == "conv_9"
    assert server.requests[0].json["conversation_id"] == "conv_9"
    assert server.requests[0].json["messages"] == [{"role": "user", "content": "a"}]


def test_a_reset_begins_another(server: RawServer, face: Face) -> None:
    server.will(answer(CONVERSATION | {"id": "conv_2"}, 201), answer(completion("one")))
    session = face.client.create_session(conversation_id="conv_9", **OPTIONS)
    session.reset()
    send(face, session, "a")
    assert session.conversation_id == "conv_2"


def test_what_fails_leaves_the_session_usable(server: RawServer, face: Face) -> None:
    gone = answer(error_body("gone", code="conversation_not_found"), 404)
    server.will(answer(error_body("no"), 400), answer(CONVERSATION, 201), gone, answer(completion("one")))
    session = face.client.create_session(server=True, **OPTIONS)
    for error in (Exception, NotFoundError):
        with pytest.raises(error):
            send(face, session, "a")
    assert (session.conversation_id, session.messages) == ("conv_1", [])
    assert send(face, session, "a") == "one"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"conversation_id": "c", "system_prompt": "x"}, "leave out system_prompt"),
        ({"conversation_id": "c", "max_turns": 3}, "context_window"),
        ({"server": True, "max_turns": 3}, "context_window"),
    ],
)
def test_arguments_that_do_not_go_together(server: RawServer, given: Any, words: str) -> None:
    with opened_face("sync-direct", server.url) as face, pytest.raises(TypeError, match=words):
        face.client.create_session(model="m", **given)


def test_a_message_changes_no_conversation_and_none_is_forked(server: RawServer) -> None:
    with opened_face("sync-direct", server.url) as face:
        session = face.client.create_session(model="m", server=True)
        with pytest.raises(TypeError, match="create_session"):
            session.send_message("a", conversation_id="c")
        with pytest.raises(ConfigurationError, match="cannot be forked"):
            session.fork()


# Other settings


def test_a_client_with_other_settings(server: RawServer, face: Face) -> None:
    server.will(answer(error_body("down"), 503))
    other = face.client.with_options(max_retries=1, timeout=7)
    assert type(other) is type(face.client)
    with pytest.raises(UnavailableError):
        face.run(other.chat.completions.create(model="m", messages=[]))
    assert len(server.requests) == 2
    with pytest.raises(UnavailableError):
        face.create()
    assert len(server.requests) == 5
    assert len(server.peers) == 1 or "pyreqwest" in str(
        face.client._caller._transport
    )  # one connection for both


def test_a_client_with_another_wire_format(server: RawServer) -> None:
    server.will(answer(completion()))
    with opened_face("sync-direct", server.url) as face:
        face.create()
        face.client.with_options(wire_format="protobuf").chat.completions.create(model="m", messages=[])
        face.create()
    kinds = [request.headers["content-type"] for request in server.requests]
    assert kinds == ["application/json", "application/x-protobuf", "application/json"]


@pytest.mark.parametrize("given", [{"max_retries": -1}, {"timeout": 0}, {"wire_format": "xml"}])
def test_settings_that_cannot_be(given: Any) -> None:
    with DeepSeekClient("sk-x") as client, pytest.raises(ConfigurationError):
        client.with_options(**given)
