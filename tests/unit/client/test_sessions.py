"""Conversations: what is sent along, what is remembered, and what is not. Blocking and asyncio."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from abyssal import (
    AsyncDeepSeekClient,
    ConfigurationError,
    DeepSeekClient,
    OpenAICompatibilityError,
    StreamInterruptedError,
    UnavailableError,
)
from abyssal.client.history import History
from abyssal.wire.chat import ChatCompletion, Choice, Message

from .face import KEY, Face
from .raw_server import DONE, STREAM_HEAD, Peer, RawServer, answer, chunk, completion, framed, stream

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def said(server: RawServer, call: int = -1) -> list[str]:
    """The messages of a request, `role: content` each."""
    return [f"{one['role']}: {one['content']}" for one in server.requests[call].json["messages"]]


def kept(session: Any) -> list[str]:
    return [f"{one['role']}: {one['content']}" for one in session.messages]


def send(face: Face, session: Any, text: Any, **options: Any) -> Any:
    return face.run(session.send_message(text, **options))


def pieces(face: Face, opened: Any) -> list[str]:
    async def all_of_them() -> list[str]:
        return [str(one) async for one in opened]

    return [str(one) for one in opened] if face.kind == "sync" else face.run(all_of_them())


def test_a_conversation(server: RawServer, face: Face) -> None:
    server.will(answer(completion("I am 4.", usage=USAGE)), answer(completion("You are 5.")))
    session = face.client.create_session(model="deepseek-chat", system_prompt="Be brief.", temperature=0)
    reply = send(face, session, "How old are you?")
    assert (reply.content, str(reply), reply.reasoning) == ("I am 4.", "I am 4.", None)
    assert reply.usage.total_tokens == 3
    assert isinstance(reply.response, ChatCompletion)
    assert said(server) == ["system: Be brief.", "user: How old are you?"]
    send(face, session, "And I?", temperature=1, max_tokens=5)
    assert said(server) == [
        "system: Be brief.",
        "user: How old are you?",
        "assistant: I am 4.",
        "user: And I?",
    ]
    bodies = [request.json for request in server.requests]
    assert [(body["temperature"], body.get("max_tokens")) for body in bodies] == [(0, None), (1, 5)]
    assert bodies[0]["model"] == "deepseek-chat"
    assert kept(session) == [*said(server), "assistant: You are 5."]
    assert "turns=2" in repr(session)


def test_without_a_prompt_there_is_no_system_message(server: RawServer, face: Face) -> None:
    server.will(answer(completion()))
    send(face, face.client.create_session(model="m"), "Hi")
    assert said(server) == ["user: Hi"]


def test_thoughts_are_told_but_not_sent_back(server: RawServer, face: Face) -> None:
    message = {"role": "assistant", "content": "4", "reasoning_content": "2+2"}
    server.will(answer({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
    session = face.client.create_session(model="m")
    assert send(face, session, "2+2?").reasoning == "2+2"
    send(face, session, "sure?")
    assert b"reasoning" not in server.requests[-1].body


def test_parts_go_as_they_are(server: RawServer, face: Face) -> None:
    server.will(answer(completion()))
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    send(face, face.client.create_session(model="m"), parts)
    assert server.requests[-1].json["messages"] == [{"role": "user", "content": parts}]
    with pytest.raises(TypeError, match="not int"):
        send(face, face.client.create_session(model="m"), 5)


def test_a_stream_is_remembered_when_it_has_ended_well(server: RawServer, face: Face) -> None:
    reasoning = chunk()
    reasoning = reasoning.replace(b'"delta":{}', b'"delta":{"reasoning_content":"Hm."}')
    server.will(
        stream(reasoning, chunk("Hel"), chunk("lo"), chunk(finish="stop", usage=USAGE), DONE),
        answer(completion("fine")),
    )
    session = face.client.create_session(model="m")
    opened = send(face, session, "Hi", stream=True)
    assert server.requests[-1].json["stream"] is True
    assert kept(session) == []
    assert pieces(face, opened) == ["", "Hel", "lo"]
    assert kept(session) == ["user: Hi", "assistant: Hello"]
    reply = face.run(opened.reply())
    assert (reply.content, reply.reasoning, reply.usage.total_tokens) == ("Hello", "Hm.", 3)
    assert kept(session) == ["user: Hi", "assistant: Hello"]
    send(face, session, "well?")
    assert said(server) == ["user: Hi", "assistant: Hello", "user: well?"]


def test_the_whole_reply_of_a_stream_at_once(server: RawServer, face: Face) -> None:
    server.will(stream(chunk("Hello", finish="stop"), DONE))
    session = face.client.create_session(model="m")
    assert face.run(send(face, session, "Hi", stream=True).reply()).content == "Hello"
    assert kept(session) == ["user: Hi", "assistant: Hello"]


def test_a_failed_call_leaves_everything_as_it_was(server: RawServer, face: Face) -> None:
    cut = STREAM_HEAD + framed(chunk("Hel"), end=False)
    server.will(
        answer(completion("one")),
        answer(b"", 400),
        answer(b"{}"),
        lambda peer: (peer.send(cut), peer.close()),
        stream(DONE),
        answer(completion("two")),
    )
    session = face.client.create_session(model="m", max_turns=5)
    send(face, session, "1")
    before = kept(session)
    with pytest.raises(Exception, match="400"):
        send(face, session, "bad")
    with pytest.raises(OpenAICompatibilityError):
        send(face, session, "bad")
    broken = send(face, session, "bad", stream=True)
    with pytest.raises(StreamInterruptedError):
        pieces(face, broken)
    with pytest.raises(StreamInterruptedError):
        face.run(broken.reply())
    with pytest.raises(OpenAICompatibilityError, match="no choices"):
        pieces(face, send(face, session, "bad", stream=True))
    with pytest.raises(TypeError, match="temperature"):
        send(face, session, "bad", temprature=1)
    assert kept(session) == before
    send(face, session, "2")
    assert said(server) == ["user: 1", "assistant: one", "user: 2"]


def test_a_stream_that_is_closed_or_dropped_is_not_remembered(server: RawServer, face: Face) -> None:
    server.will(stream(chunk("Hel"), chunk("lo", finish="stop"), DONE))
    session = face.client.create_session(model="m")
    opened = send(face, session, "closed", stream=True)
    assert str(face.next(opened)) == "Hel"
    face.close(opened)
    face.close(opened)
    assert pieces(face, opened) == []
    with pytest.raises(StreamInterruptedError, match="closed"):
        face.run(opened.reply())
    assert kept(session) == []
    dropped = send(face, session, "dropped", stream=True)
    del dropped, opened
    gc.collect()
    face.run(asyncio.sleep(0)) if face.kind == "async" else None
    server.will(answer(completion("ok")))
    send(face, session, "kept")
    assert kept(session) == ["user: kept", "assistant: ok"]


def test_a_second_message_within_a_stream_is_refused_not_waited_for(server: RawServer) -> None:
    server.will(stream(chunk("Hi", finish="stop"), DONE))
    with DeepSeekClient(KEY, base_url=server.url) as client:
        session = client.create_session(model="m")
        opened = session.send_message("1", stream=True)
        with opened, pytest.raises(ConfigurationError, match="still being streamed"):
            session.send_message("2")
        session.send_message("3", stream=True).reply()
        assert kept(session) == ["user: 3", "assistant: Hi"]

    async def main() -> None:
        async with AsyncDeepSeekClient(KEY, base_url=server.url) as client:
            session = client.create_session(model="m")
            async with await session.send_message("1", stream=True):
                with pytest.raises(ConfigurationError, match="still being streamed"):
                    await session.send_message("2")
            await (await session.send_message("3", stream=True)).reply()
            assert kept(session) == ["user: 3", "assistant: Hi"]

    asyncio.run(main())


def test_two_threads_at_once_are_put_in_order(server: RawServer) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slowly(peer: Peer) -> None:
        asked.set()
        assert go_on.wait(5)
        peer.send(stream(chunk("one", finish="stop"), DONE))

    server.will(slowly, answer(completion("two")))
    with DeepSeekClient(KEY, base_url=server.url) as client:
        session = client.create_session(model="m")
        first = threading.Thread(target=lambda: session.send_message("1", stream=True).reply())
        second = threading.Thread(target=lambda: session.send_message("2"))
        first.start()
        assert asked.wait(5)
        second.start()
        second.join(0.05)
        assert len(server.requests) == 1
        go_on.set()
        first.join(5)
        second.join(5)
        assert kept(session) == ["user: 1", "assistant: one", "user: 2", "assistant: two"]


def test_two_tasks_at_once_are_put_in_order(server: RawServer) -> None:
    server.will(stream(chunk("one", finish="stop"), DONE), answer(completion("two")))

    async def main() -> None:
        async with AsyncDeepSeekClient(KEY, base_url=server.url) as client:
            session = client.create_session(model="m")
            opened = await session.send_message("1", stream=True)
            loop = asyncio.get_running_loop()
            second = loop.create_task(session.send_message("2"))
            third = loop.create_task(session.send_message("never"))
            await asyncio.sleep(0.02)
            assert len(server.requests) == 1
            third.cancel()
            await opened.reply()
            await second
            assert kept(session) == ["user: 1", "assistant: one", "user: 2", "assistant: two"]

    asyncio.run(main())
    assert said(server) == ["user: 1", "assistant: one", "user: 2"]


def test_a_fork_goes_its_own_way_and_a_reset_forgets(server: RawServer, face: Face) -> None:
    server.will(answer(completion("ok")))
    session = face.client.create_session(model="m", system_prompt="S")
    send(face, session, "1")
    fork = session.fork()
    send(face, fork, "2", temperature=0)
    assert kept(session) == ["system: S", "user: 1", "assistant: ok"]
    assert kept(fork) == [*kept(session), "user: 2", "assistant: ok"]
    session.reset()
    assert kept(session) == ["system: S"]
    assert len(kept(fork)) == 5
    session.messages.clear()
    fork.messages[0]["content"] = "other"
    assert kept(fork)[0] == "system: S"


@pytest.mark.parametrize("max_turns", [0, 1, 2])
def test_only_the_last_turns_are_kept(server: RawServer, face: Face, max_turns: int) -> None:
    server.will(answer(completion("ok")))
    session = face.client.create_session(model="m", system_prompt="S", max_turns=max_turns)
    for text in "1234":
        send(face, session, text)
    turns = [line for text in "123"[3 - max_turns :] for line in (f"user: {text}", "assistant: ok")]
    assert said(server) == ["system: S", *turns, "user: 4"]
    assert len(kept(session)) == 1 + 2 * max_turns


def test_a_reply_to_before_a_reset_is_not_remembered() -> None:
    history = History("S", None)
    draft = history.draft("1")
    history.reset()
    answer = ChatCompletion(choices=[Choice(message=Message(content="late"))])
    assert history.remember(draft, answer).content == "late"
    assert history.turns == 0
    history.remember(history.draft("2"), answer)
    assert history.turns == 1


@pytest.mark.parametrize("kind", [DeepSeekClient, AsyncDeepSeekClient])
def test_what_a_session_does_not_take(kind: type) -> None:
    client = kind(KEY, base_url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="max_turns=-1"):
        client.create_session(model="m", max_turns=-1)
    for name in ("n", "tools", "tool_choice", "functions", "function_call", "messages"):
        with pytest.raises(TypeError, match=f"takes no {name}.*run_tools"):
            client.create_session(model="m", **{name: None})


def test_a_session_is_tried_again_like_any_call(server: RawServer, face: Face) -> None:
    server.will(answer(b"", 503), answer(completion("ok")), answer(b"", 503))
    session = face.client.create_session(model="m")
    send(face, session, "1")
    assert face.sleeps == [0.5]
    with pytest.raises(UnavailableError):
        send(face, session, "2")
    assert kept(session) == ["user: 1", "assistant: ok"]
