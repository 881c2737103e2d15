"""Resuming over HTTP: what a client gets that comes back, and what one gets that must not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.unit.gateway.messages import DONE, LAST, chunk, completion
from tests.unit.gateway.stage import Stage

from .streams import EVENTS, NOBODY, ask, begun, body, end, ids, last_id, request, resume


def test_every_event_has_an_id(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    end(server)
    answer = client.answer()
    stem = (answer.header("x-abyssal-event-id") or "").removesuffix("0")
    assert ids(answer) == [f"{stem}{number}" for number in range(6)]
    events = answer.body.split(b"\n\n")
    assert [event.partition(b"\n")[2] for event in events[:3]] == EVENTS
    assert events[4].endswith(b"\n" + DONE)


def test_without_the_header_nothing_is_different(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(*EVENTS, LAST, DONE).end_stream()
    answer = client.answer()
    assert b"id: " not in answer.body
    assert answer.header("x-abyssal-event-id") is None
    assert len(stage.gateway.streams) == 0


@pytest.mark.parametrize("value", [b"0", b"", b"yes"])
def test_only_one_value_asks_for_it(stage: Stage, value: bytes) -> None:
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    stage.client().send(request(body=asked.encode(), headers=b"x-abyssal-resumable: %b\r\n" % value))
    stage.server.last.begin_stream().stream(*EVENTS)
    assert len(stage.gateway.streams) == 0


def test_the_header_does_not_travel(stage: Stage) -> None:
    begun(stage)
    assert stage.server.last.request.header("x-abyssal-resumable") is None


def test_a_plain_answer_stays_plain(stage: Stage) -> None:
    client = ask(stage, stream=False)
    stage.server.last.answer(completion("hello"))
    answer = client.answer()
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert answer.header("x-abyssal-event-id") is None
    assert len(stage.gateway.streams) == 0


def test_a_large_plain_answer_too(stage: Stage) -> None:
    client = ask(stage, stream=False)
    stage.server.last.answer(completion("x" * 1_000_000))
    assert len(client.answer().json()["choices"][0]["message"]["content"]) == 1_000_000


def test_refusals_are_as_ever(stage: Stage) -> None:
    assert ask(stage, model="nobody").answer().error["code"] == "model_not_found"
    client = ask(stage)
    stage.server.last.answer(b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}', 429)
    assert client.answer().status == 429


def test_the_connection_serves_the_next_request(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    end(server)
    client.ask()
    stage.server.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_who_comes_back_gets_the_rest(stage: Stage, method: str, how: str) -> None:
    first, server = begun(stage, *EVENTS[:1])
    getattr(first, how)()
    server.stream(EVENTS[1])
    second = resume(stage, last_id(first), method=method)
    server.stream(EVENTS[2])
    end(server)
    whole, other = begun(stage, *EVENTS)
    end(other)
    stems = [ids(client.answers()[0])[0][:-1].encode() for client in (first, whole)]
    assert body(first) + body(second) == body(whole).replace(stems[1], stems[0])
    assert second.answer().header("content-type") == "text/event-stream; charset=utf-8"


def test_the_call_goes_on_meanwhile_and_is_settled_as_ever(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS[:1])
    client.leave()
    assert stage.gateway.caps.in_flight == 1
    assert stage.settled == []
    server.stream(*EVENTS[1:])
    end(server)
    assert stage.gateway.caps.in_flight == 0
    (settled,) = stage.settled
    assert (settled.status, settled.code, settled.completion_tokens) == (200, "", 5)
    second = resume(stage, last_id(client))
    assert second.answer().events[-1].endswith("[DONE]")
    assert len(stage.settled) == 1


def test_the_body_of_who_comes_back_is_not_looked_at(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    second = resume(stage, last_id(client), body=b"{nonsense")
    end(server)
    assert second.answer().status == 200
    assert len(stage.server.requests) == 1


def test_from_the_beginning(stage: Stage) -> None:
    client, server = begun(stage)
    client.leave()
    server.stream(*EVENTS)
    end(server)
    second = resume(stage, last_id(client))
    assert ids(second.answer()) == [f"{last_id(client)[:-1]}{number}" for number in range(6)]


def test_after_the_last_event_nothing_is_left(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    end(server)
    second = resume(stage, last_id(client))
    assert (second.answer().status, second.answer().body) == (200, b"")


def test_any_place_may_be_asked_for_more_than_once(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    end(server)
    named = ids(client.answer())
    for number, event_id in enumerate(named):
        answer = resume(stage, event_id).answer()
        assert ids(answer) == named[number:]


def test_before_anything_was_told_leaving_is_the_end(stage: Stage) -> None:
    client = ask(stage)
    client.leave()
    assert [record.code for record in stage.settled] == ["client_gone"]
    assert stage.server.last.closed


def test_after_a_comment_it_can_be_resumed(stage: Stage) -> None:
    client = ask(stage)
    stage.pass_time(16.0)
    assert b": keep-alive" in client.bytes
    client.leave()
    second = resume(stage, last_id(client))
    server = stage.server.last.begin_stream().stream(*EVENTS)
    end(server)
    assert len(ids(second.answer())) == 6


def test_comments_have_no_id_and_are_not_kept(stage: Stage) -> None:
    client, server = begun(stage)
    server.stream(EVENTS[0], b": from upstream", EVENTS[1])
    stage.pass_time(16.0)
    assert client.bytes.count(b": keep-alive\n\n") == 1
    assert client.bytes.count(b": from upstream\n\n") == 1
    client.leave()
    second = resume(stage, f"{last_id(client)[:-1]}0")
    end(server)
    assert b": " not in second.answer().body.replace(b"id: ", b"").replace(b"data: ", b"").replace(
        b'": ', b""
    )


def test_who_comes_back_hears_comments(stage: Stage) -> None:
    client, _ = begun(stage, *EVENTS)
    client.leave()
    stage.pass_time(40.0)
    second = resume(stage, last_id(client))
    stage.pass_time(16.0)
    assert second.bytes.count(b": keep-alive\n\n") == 1


def test_nobody_for_a_minute_and_the_call_is_over(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    stage.pass_time(59.0)
    assert not server.closed
    stage.pass_time(1.0)
    assert server.closed
    assert [record.code for record in stage.settled] == ["client_gone"]
    assert resume(stage, last_id(client)).answer().error["code"] == "stream_not_found"


def test_a_minute_after_its_end_a_stream_is_gone(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    stage.pass_time(50.0)
    end(server)
    stage.pass_time(59.0)
    second = resume(stage, last_id(client))
    assert second.answer().status == 200
    stage.pass_time(59.0)
    assert resume(stage, last_id(client)).answer().status == 200
    stage.pass_time(60.0)
    assert resume(stage, last_id(client)).answer().status == 404


def test_coming_back_starts_the_minute_over(stage: Stage) -> None:
    client, server = begun(stage, EVENTS[0])
    for _ in range(3):
        event_id = last_id(client)
        client.leave()
        stage.pass_time(50.0)
        client = resume(stage, event_id)
        server.stream(EVENTS[1])
    end(server)
    assert client.answer().complete


def test_an_upstream_that_breaks_meanwhile_is_told(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    server.close(ConnectionResetError(104, "reset"))
    answer = resume(stage, last_id(client)).answer()
    assert json.loads(answer.events[-1].partition("\ndata: ")[2])["error"]["code"] == "upstream_closed"
    assert [record.code for record in stage.settled] == ["upstream_closed"]


def test_an_upstream_that_falls_silent_meanwhile_is_given_up(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(
        '[[upstreams]]\nname = "up"\nkind = "openai"\nbase_url = "http://up.test"\nidle_timeout = 20.0\n'
        '[[models]]\nname = "m"\ntargets = [{ upstream = "up" }]\n'
    )
    client, server = begun(stage, *EVENTS)
    client.leave()
    stage.pass_time(21.0)
    assert server.closed
    assert b"upstream_timeout" in resume(stage, last_id(client)).answer().body


# Other methods


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_an_id_there_is_only_post(stage: Stage, method: str) -> None:
    answer = stage.client().send(request(method=method)).answer()
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_a_route_that_does_not_stream_takes_no_notice(stage: Stage) -> None:
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
    client = resume(stage, NOBODY, "/anthropic/v1/messages/count_tokens", body=asked.encode())
    assert client.answer().status == 200


def test_an_empty_id_asks_anew(stage: Stage) -> None:
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    stage.client().send(request(body=asked.encode(), headers=b"Last-Event-ID:\r\nx-abyssal-resumable: 1\r\n"))
    assert len(stage.server.requests) == 1


def test_a_compressed_stream_passes_as_it_is(stage: Stage) -> None:
    client = ask(stage)
    server = stage.server.last.begin_stream(b"content-encoding: gzip\r\n")
    packed = (b"\x1f\x8b" + b"y" * 1000 + b"\n\n") * 600
    server.say(b"%x\r\n%b\r\n" % (len(packed), packed)).end_stream()
    answer = client.answer()
    assert answer.body == packed
    assert answer.header("x-abyssal-event-id") is None


def test_what_is_no_stream_of_events_passes_and_cannot_be_resumed(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    server.say(b"%x\r\n%b\r\n" % (600_000, b"x" * 600_000))
    assert b"x" * 600_000 in body(client)
    assert len(stage.gateway.streams) == 0
    client.leave()
    assert server.closed


def test_what_turns_out_to_be_none_while_nobody_reads_is_ended(stage: Stage) -> None:
    client, server = begun(stage, *EVENTS)
    client.leave()
    server.say(b"%x\r\n%b\r\n" % (600_000, b"x" * 600_000))
    assert resume(stage, last_id(client)).answer().status == 404
    stage.pass_time(1.0)
    assert server.closed
    assert chunk() not in server.transport.taken
