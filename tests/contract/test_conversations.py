"""Conversations on each database: what is said is kept, and one project sees nothing of another's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select
from tests.unit.platform.conversations.talk import OURS, OURS_TOO, SPARE, THEIRS, Talk, turn
from tests.unit.platform.identity.tenants import MAIN, THEIR_PROJECT, World, populate

from abyssal.platform.conversations.ageing import forget_expired
from abyssal.platform.conversations.calls import LEASE, renew
from abyssal.platform.conversations.ordering import Holder, Place
from abyssal.stores.conversation_inquiries import Opened
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.schema import conversations, turns
from abyssal.wire.errors import ConflictError, NotFoundError

SECOND = 1_000_000_000


@pytest.fixture
def world(each_database: str, tmp_path: Path) -> Iterator[World]:
    engine = open_database(each_database)
    yield populate(World(engine, tmp_path))
    engine.dispose()


@pytest.fixture
def talk(world: World) -> Talk:
    return Talk(world)


def test_what_was_begun_is_shown_with_its_turns(talk: Talk) -> None:
    made = talk.ask(
        OURS,
        "POST",
        body={
            "title": "Sums",
            "metadata": {"a": "b"},
            "user_id": "ada",
            "system_prompt": "Be brief.",
            "messages": [{"role": "user", "content": "你好"}],
            "ttl": 60,
        },
    )
    assert made.status == 201
    shown = talk.ask(OURS_TOO, "GET", "/" + made.json["id"]).json
    assert shown.pop("turns") == {"object": "list", "data": [], "has_more": False, "next": None}
    assert shown == made.json
    assert shown["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "你好"},
    ]
    assert (shown["title"], shown["metadata"], shown["user_id"]) == ("Sums", {"a": "b"}, "ada")
    assert (shown["ttl"], shown["turn_count"]) == (60, 0)
    talk.say(shown["id"], "one", "two")
    after = talk.ask(OURS, "GET", "/" + shown["id"]).json
    assert after["turn_count"] == 2
    assert [each["messages"] for each in after["turns"]["data"]] == [turn("one"), turn("two")]
    assert [(each["number"], each["request_id"], each["model"]) for each in after["turns"]["data"]] == [
        (1, "c0", "m"),
        (2, "c1", "m"),
    ]


def test_nobody_else_has_it(talk: Talk) -> None:
    mine = talk.begin()
    talk.say(mine, "secret")
    absent = talk.ask(OURS, "GET", "/conv_00000000000000000000")
    assert (absent.status, absent.code, absent.param) == (404, "conversation_not_found", "conversation_id")
    for who in (SPARE, THEIRS):
        for method in ("GET", "DELETE"):
            assert talk.ask(who, method, "/" + mine).whole == absent.whole
        assert talk.ask(who, "GET").json["data"] == []
        assert talk.ask(who, "GET", query={"format": "jsonl"}).body == b""
    for odd in ("x", "conv_", "%00", "conv_" + "a" * 60):
        assert talk.ask(OURS, "GET", "/" + odd).whole == absent.whole
    with pytest.raises(NotFoundError) as theirs:
        asyncio.run(talk.open(mine, project=THEIR_PROJECT))
    with pytest.raises(NotFoundError) as nothing:
        asyncio.run(talk.open("conv_00000000000000000000"))
    with pytest.raises(NotFoundError) as malformed:
        asyncio.run(talk.open("\0"))
    assert theirs.value.as_json() == nothing.value.as_json() == malformed.value.as_json() == absent.body


def test_a_page_after_the_other(talk: Talk) -> None:
    made = [talk.begin(title=str(number)) for number in range(5)]
    talk.say(made[0], *"abcde")
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = talk.ask(OURS, "GET", query=query).json
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert sorted(seen) == sorted(made)
    first = talk.ask(OURS, "GET", "/" + made[0], query={"limit": "3"}).json["turns"]
    rest = talk.ask(OURS, "GET", "/" + made[0], query={"after": first["next"]}).json["turns"]
    assert [each["number"] for each in first["data"] + rest["data"]] == [1, 2, 3, 4, 5]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    other = talk.ask(OURS, "GET", "/" + made[1], query={"after": first["next"]})
    assert (other.status, other.param) == (400, "after")


def test_a_creation_repeated_makes_one(talk: Talk) -> None:
    key = {"Idempotency-Key": "k1"}
    first = talk.ask(OURS, "POST", body={"title": "a"}, headers=key)
    assert talk.ask(OURS, "POST", body={"title": "a"}, headers=key).body == first.body
    other = talk.ask(OURS, "POST", body={"title": "b"}, headers=key)
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert talk.world.count(conversations) == 1


def test_a_person_is_exported_and_forgotten(talk: Talk) -> None:
    adas = [talk.begin(user_id="ada")]
    talk.clock.advance(1)
    adas.append(talk.begin())
    bobs = talk.begin(user_id="bob")
    theirs = talk.begin(THEIRS, user_id="ada")
    talk.say(adas[1], "told later", user="ada")  # the first call that names a person makes it theirs
    talk.say(adas[1], "still hers", user="bob")
    talk.say(bobs, "hello")
    lines = talk.ask(OURS, "GET", query={"format": "jsonl", "user_id": "ada"}).body.splitlines()
    objects = [msgspec.json.decode(line) for line in lines]
    assert [each["object"] for each in objects] == ["conversation"] * 2 + ["conversation.turn"] * 2
    assert [each["messages"] for each in objects[2:]] == [turn("told later"), turn("still hers")]
    assert talk.ask(OURS, "DELETE").code == "missing_field"
    gone = talk.ask(OURS, "DELETE", query={"user_id": "ada"})
    assert gone.json == {"object": "conversations.deleted", "user_id": "ada", "deleted": 2}
    assert [each["id"] for each in talk.ask(OURS, "GET").json["data"]] == [bobs]
    assert [each["id"] for each in talk.ask(THEIRS, "GET").json["data"]] == [theirs]
    assert talk.world.count(turns) == 1
    assert talk.ask(OURS, "DELETE", query={"user_id": "ada"}).json["deleted"] == 0


def test_deleted_while_a_call_is_at_work(talk: Talk) -> None:
    async def story() -> None:
        await talk.open(mine)
        assert await asyncio.to_thread(talk.ask, OURS, "DELETE", "/" + mine)
        with pytest.raises(ConflictError) as lost:
            await talk.append(mine, "c1", *turn("late"))
        assert lost.value.code == "conversation_lost"

    mine = talk.begin()
    asyncio.run(story())
    assert talk.ask(OURS, "DELETE", "/" + mine).status == 404
    assert talk.world.count(turns) == 0


def test_gone_at_the_second_and_then_for_good(talk: Talk) -> None:
    short, long = talk.begin(ttl=10), talk.begin()
    talk.clock.advance(5)
    talk.say(short, "again")  # its time begins anew
    talk.clock.advance(9.9)
    assert talk.ask(OURS, "GET", "/" + short).status == 200
    assert forget_expired(talk.world.engine, now_ns=talk.clock.unix_ns()) == 0
    talk.clock.advance(0.1)
    assert talk.ask(OURS, "GET", "/" + short).status == 404
    assert [each["id"] for each in talk.ask(OURS, "GET").json["data"]] == [long]
    with pytest.raises(NotFoundError):
        asyncio.run(talk.open(short))
    assert talk.world.count(turns) == 1
    assert forget_expired(talk.world.engine, now_ns=talk.clock.unix_ns()) == 1
    assert talk.world.count(turns) == 0
    talk.clock.advance(2_592_000)
    assert talk.ask(OURS, "GET").json["data"] == []


def test_encrypted_it_reads_the_same_and_rests_sealed(world: World) -> None:
    plain, sealing = Talk(world), Talk(world, encrypt_conversations=True)
    both = [plain.begin(title="the title"), sealing.begin(title="the title", system_prompt="the prompt")]
    for conversation in both:
        plain.say(conversation, "plain words")
        sealing.say(conversation, "hidden words", "more hidden words")
    world.vault.rewrap()
    for talk in (plain, sealing):
        for conversation in both:
            shown = talk.ask(OURS, "GET", "/" + conversation).json
            assert shown["title"] == "the title"
            assert [each["messages"][0]["content"] for each in shown["turns"]["data"]] == [
                "plain words", "hidden words", "more hidden words",
            ]  # fmt: skip
    with world.engine.connect() as connection:
        rows = connection.execute(select(turns.c.content, turns.c.sealed)).all()
        about = connection.execute(select(conversations.c.content).where(conversations.c.id == both[1]))
        assert about.scalar_one() is None
    assert sorted((row.content is None, row.sealed is None) for row in rows) == [
        *[(False, True)] * 2,
        *[(True, False)] * 4,
    ]
    assert not any(b"hidden" in (row.sealed or b"") for row in rows)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"ttl": 0}, "ttl"),
        ({"title": "x" * 201}, "title"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"user_id": "\0"}, "user_id"),
        ({"system_prompt": ""}, "system_prompt"),
        ({"model": "m"}, "model"),
    ],
)
def test_what_is_wrong_is_named(talk: Talk, body: object, param: str) -> None:
    answer = talk.ask(OURS, "POST", body=body)
    assert answer.status == 400
    assert (answer.param or "").startswith(param), answer.body


def test_the_scope_is_asked_for(talk: Talk) -> None:
    assert talk.ask("", "GET").status == 401
    refused = talk.ask(OURS, "POST", body={}, scopes="admin")
    assert (refused.status, refused.code) == (403, "scope_missing")
    assert talk.ask("key_ffff", "GET").status == 401


# Two calls at once


def test_the_second_call_waits_and_sees_what_the_first_said(talk: Talk) -> None:
    async def story() -> None:
        await talk.open(mine, "c1")
        second = asyncio.get_running_loop().create_task(talk.open(mine, "c2"))
        await asyncio.sleep(0)
        with pytest.raises(ConflictError) as busy:
            await talk.open(mine, "c3", wait=False)
        assert busy.value.code == "conversation_busy"
        assert not second.done()
        await talk.append(mine, "c1", *turn("first"))
        opened = await second
        assert [msgspec.json.decode(each) for each in opened.turns] == [turn("first")]
        await talk.release(mine, "c2")
        await talk.open(mine, "c4", wait=False)

    mine = talk.begin()
    asyncio.run(story())


def test_it_waits_no_longer_than_it_may(world: World) -> None:
    async def story() -> None:
        await talk.open(mine, "c1")
        with pytest.raises(ConflictError):
            await talk.open(mine, "c2")
        await talk.release(mine, "c1")
        await talk.open(mine, "c3")

    talk = Talk(world, wait=0.01)
    mine = talk.begin()
    asyncio.run(story())


def test_two_nodes_take_turns_by_the_database(world: World) -> None:
    async def story() -> None:
        await one.open(mine, "c1", writer="n1")
        with pytest.raises(ConflictError):
            await other.open(mine, "c2", writer="n2", wait=False)
        second = asyncio.get_running_loop().create_task(other.open(mine, "c3", writer="n2"))
        await asyncio.sleep(0.01)
        assert not second.done()
        await one.append(mine, "c1", *turn("first"), writer="n1")
        opened = await second
        assert len(opened.turns) == 1
        await other.append(mine, "c3", *turn("second"), writer="n2")

    one, other = Talk(world), Talk(world)
    mine = one.begin()
    asyncio.run(story())
    assert one.ask(OURS, "GET", "/" + mine).json["turn_count"] == 2


def test_a_dead_node_s_lease_runs_out_and_what_it_says_later_is_not_kept(world: World) -> None:
    async def story() -> None:
        await one.open(mine, "c1", writer="n1")
        world.clock.advance(LEASE - 0.1)
        renew(world.engine, one.plane.ordering.holding(), now_ns=world.now_ns)
        world.clock.advance(LEASE - 0.1)
        with pytest.raises(ConflictError):
            await other.open(mine, "c2", writer="n2", wait=False)
        world.clock.advance(0.1)  # nobody renews it any more
        await other.open(mine, "c2", writer="n2", wait=False)
        with pytest.raises(ConflictError) as lost:
            await one.append(mine, "c1", *turn("too late"), writer="n1")
        assert lost.value.code == "conversation_lost"
        renew(world.engine, [(Place(MAIN, mine), Holder("n1", "c1"))], now_ns=world.now_ns)
        await one.release(mine, "c1", writer="n1")  # neither takes anything from who has it now
        await other.append(mine, "c2", *turn("in time"), writer="n2")

    one, other = Talk(world), Talk(world)
    mine = one.begin()
    asyncio.run(story())
    (kept,) = one.ask(OURS, "GET", "/" + mine).json["turns"]["data"]
    assert kept["messages"] == turn("in time")


def test_only_what_is_wanted_is_read(talk: Talk) -> None:
    mine = talk.begin()
    talk.say(mine, *"abcd", tokens=10)

    async def opened(tokens: int) -> Opened:
        try:
            return await talk.open(mine, tokens=tokens)
        finally:
            await talk.release(mine)

    for tokens, count in ((40, 4), (39, 3), (10, 1), (9, 0)):
        found = asyncio.run(opened(tokens))
        assert [msgspec.json.decode(each) for each in found.turns] == [*map(turn, "abcd")][4 - count :]
        assert found.whole is (count == 4)


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_page_of_large_contents_ends_early(
    world: World, monkeypatch: pytest.MonkeyPatch, encrypt: bool
) -> None:
    talk = Talk(world, encrypt_conversations=encrypt)
    monkeypatch.setattr("abyssal.platform.conversations.service.MOST_IN_A_PAGE", 25_000)
    monkeypatch.setattr("abyssal.platform.conversations.export.MOST_IN_A_PAGE", 25_000)
    made = [talk.ask(OURS, "POST", body={"system_prompt": letter * 10_000}).json["id"] for letter in "abcd"]
    pages, query = [], {"limit": "3"}
    while True:
        page = talk.ask(OURS, "GET", query=query).json
        pages.append([item["id"] for item in page["data"]])
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert [len(page) for page in pages] == [2, 2]
    assert sorted(pages[0] + pages[1]) == sorted(made)
    for text in "efg":
        talk.say(made[0], text * 30_000, "yes")  # two turns
    shown = talk.ask(OURS, "GET", "/" + made[0]).json["turns"]
    assert ([turn["number"] for turn in shown["data"]], shown["has_more"]) == ([1], True)
    after = talk.ask(OURS, "GET", "/" + made[0], query={"after": shown["next"]}).json["turns"]
    assert [turn["number"] for turn in after["data"]] == [2]
    lines = talk.ask(OURS, "GET", query={"format": "jsonl"}).body.splitlines()
    assert len(lines) == 4 + 6
