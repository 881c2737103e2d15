"""`client.conversations` on a running server: begun, listed, read, exported, deleted, blocking and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from abyssal import AsyncDeepSeekClient, Conversation, DeepSeekClient, NotFoundError, Turn
from abyssal.testing import Answer

from .calls import Gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[DeepSeekClient]:
    with DeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
        yield client


def test_from_the_beginning_to_the_end(client: DeepSeekClient) -> None:
    made = client.conversations.create(
        title="深海", system_prompt="Be brief.", user_id="ada", ttl=60, metadata={"a": "b"}
    )
    assert made.messages == [{"role": "system", "content": "Be brief."}]
    assert (made.title, made.ttl, made.turn_count, made.request_id is not None) == ("深海", 60, 0, True)
    found = client.conversations.retrieve(made.id)
    assert found.turns is not None
    assert (found.id, found.metadata, len(found.turns)) == (made.id, {"a": "b"}, 0)
    assert [one.id for one in client.conversations.list(user_id="ada")] == [made.id]
    exported = list(client.conversations.export(user_id="ada"))
    assert [type(one) for one in exported] == [Conversation]
    assert list(client.conversations.export(user_id="nobody")) == []
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(NotFoundError) as caught:
        client.conversations.retrieve(made.id)
    assert caught.value.code == "conversation_not_found"


def test_pages_and_a_person_who_is_forgotten(client: DeepSeekClient) -> None:
    made = [client.conversations.create(user_id="bob").id for _ in range(3)]
    first = client.conversations.list(limit=2, user_id="bob")
    rest = client.conversations.list(limit=2, user_id="bob", after=first.next)
    assert [one.id for one in [*first, *rest]] == made
    assert (first.has_more, rest.has_more) == (True, False)
    assert client.conversations.delete_all(user_id="bob").deleted == 3
    assert len(client.conversations.list(user_id="bob")) == 0


def test_the_same_key_begins_one_conversation(client: DeepSeekClient) -> None:
    both = [client.conversations.create(user_id="eve", idempotency_key="once").id for _ in range(2)]
    assert len(set(both)) == 1


def test_a_session_that_the_platform_keeps(gateway: Gateway, client: DeepSeekClient) -> None:
    gateway.upstream.enqueue(Answer.chat("one"), Answer.chat_stream(["t", "wo"]), Answer.chat("three"))
    session = client.create_session(
        model="open", system_prompt="Be brief.", server=True, user_id="zoe", temperature=0.5
    )
    assert session.send_message("a").content == "one"
    assert session.send_message("b", stream=True).reply().content == "two"
    other = client.create_session(model="open", conversation_id=session.conversation_id)
    assert other.send_message("c").content == "three"
    asked = [message["content"] for message in gateway.upstream.requests[-1].json()["messages"]]
    assert asked == ["Be brief.", "a", "one", "b", "two", "c"]
    kept = client.conversations.retrieve(session.conversation_id or "")
    assert kept.turns is not None
    assert [turn.messages[1]["content"] for turn in kept.turns] == ["one", "two", "three"]
    exported = list(client.conversations.export(user_id="zoe"))
    assert [type(one) for one in exported] == [Conversation, Turn, Turn, Turn]
    session.reset()
    gateway.upstream.enqueue(Answer.chat("again"))
    assert session.send_message("d").content == "again"
    assert session.conversation_id != kept.id
    assert client.conversations.delete_all(user_id="zoe").deleted == 2
    with pytest.raises(NotFoundError):
        other.send_message("e")


def test_over_websocket_and_in_the_text_routes(gateway: Gateway, client: DeepSeekClient) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["one"]), Answer.chat("two"))
    begun = client.conversations.create().id
    assert client.stream("a", model="open", conversation_id=begun).reply().content == "one"
    assert client.text.generate("b", model="open", conversation_id=begun).text == "two"
    asked = [message["content"] for message in gateway.upstream.requests[-1].json()["messages"]]
    assert asked == ["a", "one", "b"]


def test_asynchronous(gateway: Gateway) -> None:
    async def main() -> int:
        async with AsyncDeepSeekClient(gateway.server.api_key, base_url=gateway.server.base_url) as client:
            session = client.create_session(model="open", server=True, user_id="eva")
            assert (await session.send_message("a")).content == "one"
            assert (await session.send_message("b")).content == "two"
            assert len([one async for one in await client.conversations.export(user_id="eva")]) == 3
            made = await client.conversations.create(user_id="joe")
            assert [one.id async for one in await client.conversations.export(user_id="joe")] == [made.id]  # type: ignore[union-attr]
            return (await client.conversations.delete_all(user_id="joe")).deleted

    gateway.upstream.enqueue(Answer.chat("one"), Answer.chat("two"))
    assert asyncio.run(main()) == 1
