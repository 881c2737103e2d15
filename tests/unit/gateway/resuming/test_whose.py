"""Whose a stream is, what happens when two want it, and how it ends before its time."""

from __future__ import annotations

import pytest
from tests.unit.gateway.messages import OTHER_KEY
from tests.unit.gateway.stage import Stage

from .streams import CHAT, EVENTS, NOBODY, STRANGER, begun, end, ids, last_id, let_in_strangers, resume

# Whose it is


def refused(stage: Stage, event_id: str, path: str = CHAT, key: str = STRANGER) -> bytes:
    """What a refusal says, but for what differs with every answer."""
    client = resume(stage, event_id, path, key=key)
    answer = client.answer()
    assert answer.status == 404
    differs = [answer.header("x-request-id") or "?", answer.header("date") or "?"]
    return client.bytes.replace(differs[0].encode(), b"").replace(differs[1].encode(), b"")


def test_another_project_gets_what_anybody_gets_who_made_it_up(stage: Stage) -> None:
    let_in_strangers(stage)
    client, server = begun(stage, *EVENTS)
    live = last_id(client)
    unknown = refused(stage, NOBODY)
    assert refused(stage, live) == unknown
    client.leave()
    assert refused(stage, live) == unknown
    end(server)
    assert refused(stage, live) == unknown
    assert refused(stage, "nonsense") == unknown
    assert refused(stage, "x" * 30_000) == unknown
    assert refused(stage, "1" + NOBODY[1:]) == unknown
    assert resume(stage, live).answer().status == 200
    stage.pass_time(61.0)
    assert refused(stage, live) == unknown
    assert {(record.status, record.code) for record in stage.refused} == {(404, "stream_not_found")}


def test_a_stranger_takes_nothing_over(stage: Stage) -> None:
    let_in_strangers(stage)
    client, server = begun(stage, *EVENTS[:1])
    resume(stage, last_id(client), key=STRANGER)
    server.stream(*EVENTS[1:])
    end(server)
    assert client.answer().complete


def test_another_key_of_the_project_goes_on(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    second = resume(stage, last_id(client), key=OTHER_KEY)
    end(server)
    assert second.answer().status == 200
    assert {record.key_id for record in stage.settled} == {"key_1"}


def test_without_a_key_nothing_is_told(stage: Stage) -> None:
    client, _ = begun(stage, *EVENTS)
    assert resume(stage, last_id(client), key="sk-nobody").answer().status == 401
    assert resume(stage, NOBODY, key="sk-nobody").answer().status == 401


def test_another_route_has_no_such_stream(stage: Stage) -> None:
    client, _ = begun(stage, *EVENTS)
    assert resume(stage, last_id(client), "/chat/completions").answer().error["code"] == "stream_not_found"


def test_every_changed_id_is_unknown(stage: Stage) -> None:
    client, _ = begun(stage, *EVENTS)
    event_id = last_id(client)
    client.leave()
    for at in range(len(event_id)):
        for other in ("A", "b", "7", ".", "-"):
            changed = event_id[:at] + other + event_id[at + 1 :]
            place = changed.rpartition(".")[2]
            if changed == event_id or (changed.startswith(event_id[:-1]) and place in "0123"):
                continue
            assert resume(stage, changed).answer().status == 404, changed


def test_a_refusal_is_in_the_route_s_own_format(stage: Stage) -> None:
    answer = resume(stage, NOBODY, "/anthropic/v1/messages").answer()
    assert answer.status == 404
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "not_found_error"


def test_ids_are_not_alike(stage: Stage) -> None:
    stems = {last_id(begun(stage)[0]).split(".")[1] for _ in range(20)}
    assert len(stems) == 20


# Two at once


def test_who_comes_back_takes_the_stream_over(stage: Stage) -> None:
    old, server = begun(stage, *EVENTS[:1])
    before = old.bytes
    new = resume(stage, last_id(old))
    assert old.gone
    server.stream(*EVENTS[1:])
    end(server)
    assert old.bytes == before
    assert len(ids(new.answer())) == 5
    assert [record.status for record in stage.settled] == [200]


def test_a_storm_of_readers_leaves_one(stage: Stage) -> None:
    first, server = begun(stage, *EVENTS)
    event_id = last_id(first)
    storm = [resume(stage, event_id) for _ in range(200)]
    assert first.gone
    assert all(client.gone for client in storm[:-1])
    end(server)
    assert storm[-1].answer().complete
    assert stage.gateway.caps.in_flight == 0
    assert len(stage.gateway.streams) == 1


def test_one_that_leaves_after_it_was_taken_over_changes_nothing(stage: Stage) -> None:
    old, server = begun(stage, *EVENTS)
    new = resume(stage, last_id(old))
    old.leave()
    stage.pass_time(61.0)
    end(server)
    assert new.answer().complete


# The end


@pytest.mark.parametrize("reading", [True, False])
def test_delete_ends_it_for_good(stage: Stage, reading: bool) -> None:
    client, server = begun(stage, *EVENTS)
    event_id = last_id(client)
    if not reading:
        client.leave()
    assert resume(stage, event_id, method="DELETE").answer().json() == {"object": "stream", "deleted": True}
    assert server.closed
    assert client.gone
    assert resume(stage, event_id).answer().status == 404
    assert [record.code for record in stage.settled] == ["client_gone"]


def test_a_stranger_deletes_nothing_and_is_not_told(stage: Stage) -> None:
    let_in_strangers(stage)
    client, server = begun(stage, *EVENTS)
    for event_id in (last_id(client), NOBODY, "nonsense"):
        answer = resume(stage, event_id, method="DELETE", key=STRANGER).answer()
        assert answer.json() == {"object": "stream", "deleted": True}
    end(server)
    assert client.answer().complete


def test_who_goes_away_ends_what_nobody_reads(stage: Stage) -> None:
    left, _ = begun(stage, *EVENTS)
    left.leave()
    read, server = begun(stage, *EVENTS)
    stage.gateway.drain()
    assert [record.code for record in stage.settled] == ["client_gone"]
    assert resume(stage, last_id(left)).answer().error["code"] == "shutting_down"
    end(server)
    assert read.answer().complete


def test_who_leaves_while_the_worker_goes_away_is_not_waited_for(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    stage.gateway.drain()
    client.leave()
    assert server.closed
    assert stage.gateway.caps.in_flight == 0
