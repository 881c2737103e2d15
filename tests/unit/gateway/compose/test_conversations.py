"""Calls in a conversation: the control process is asked, and nobody hears an end before the turn is stored."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.messages import DONE, LAST, chat, chunk, completion
from tests.unit.gateway.stage import Client, Stage

from abyssal.gateway.link import Ask, Told
from abyssal.stores.conversation_inquiries import APPEND, OPEN, RELEASE, Append, Open, Opened, Release
from abyssal.wire.errors import ApiError, ConflictError, NotFoundError, UnavailableError

CONVERSATION = "conv_1"
EARLIER = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "then"}]
NEW = {"role": "user", "content": "hello there"}
KINDS: dict[str, Any] = {OPEN: Open, APPEND: Append, RELEASE: Release}


class Talk:
    """A stage whose control process the test plays."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.gone_by = 0  # questions that were looked at

    def ask(self, headers: bytes = b"", **fields: Any) -> Client:
        body = chat(headers=headers, conversation_id=CONVERSATION, **fields)
        client = self.stage.client().send(body)
        self.stage.turn()
        return client

    def question(self, topic: str) -> tuple[Ask, Any]:
        """The next question to the control process, which is of this topic."""
        asked = [message for message in self.stage.told if isinstance(message, Ask)]
        assert len(asked) > self.gone_by, "nothing is asked"
        ask = asked[self.gone_by]
        self.gone_by += 1
        assert ask.topic == topic
        return ask, msgspec.msgpack.decode(ask.body, type=KINDS[topic])

    def tell(self, ask: Ask, answer: object = b"") -> None:
        if isinstance(answer, ApiError):
            told = Told(ask.number, answer.status_code, answer.as_json())
        else:
            told = Told(ask.number, 200, msgspec.msgpack.encode(answer) if answer else b"")
        self.stage.gateway.take(told)
        self.stage.turn()

    def opened(self, **fields: Any) -> Client:
        """A call whose conversation is open."""
        client = self.ask(**fields)
        ask, _ = self.question(OPEN)
        self.tell(ask, Opened(b"[]", [json.dumps(EARLIER).encode()], True))
        return client

    def nothing_is_asked(self) -> bool:
        return len([each for each in self.stage.told if isinstance(each, Ask)]) == self.gone_by


@pytest.fixture
def talk(stage: Stage) -> Talk:
    return Talk(stage)


def test_a_whole_answer_is_held_until_its_turn_is_stored(talk: Talk) -> None:
    client = talk.ask(user_id="ada")
    ask, open_ = talk.question(OPEN)
    assert (open_.project, open_.conversation, open_.writer, open_.wait) == ("proj_1", "conv_1", "w0", True)
    assert talk.stage.server.connections == []
    talk.tell(ask, Opened(b'[{"role":"system","content":"S"}]', [json.dumps(EARLIER).encode()], True))
    sent = talk.stage.server.last.request.json()
    assert sent["messages"] == [{"role": "system", "content": "S"}, *EARLIER, NEW]
    assert "conversation_id" not in sent
    talk.stage.server.last.answer(completion("said"))
    assert client.answers() == []
    ask, kept = talk.question(APPEND)
    assert json.loads(kept.messages) == [NEW, {"role": "assistant", "content": "said"}]
    assert (kept.call, kept.model, kept.user) == (open_.call, "m", "ada")
    assert kept.tokens == round(4 + 0.3 * 11 + 4 + 0.3 * 4)
    talk.tell(ask)
    answer = client.answer()
    assert answer.header("x-abyssal-conversation-id") == CONVERSATION
    assert answer.json()["conversation_id"] == CONVERSATION
    assert talk.nothing_is_asked()


@pytest.mark.parametrize("ended_first", [False, True])
def test_a_stream_s_end_is_held_until_its_turn_is_stored(talk: Talk, ended_first: bool) -> None:
    client = talk.opened(stream=True)
    upstream = talk.stage.server.last.begin_stream()
    upstream.stream(chunk("sa"), chunk("id"))
    upstream.stream(LAST, DONE)
    assert client.bytes.count(b"data: ") == 3
    ask, kept = talk.question(APPEND)
    assert json.loads(kept.messages)[1] == {"role": "assistant", "content": "said"}
    if ended_first:
        upstream.end_stream()
    assert b"[DONE]" not in client.bytes
    talk.tell(ask)
    if not ended_first:
        upstream.end_stream()
    answer = client.answer()
    assert answer.events[-1] == "[DONE]"
    assert answer.header("x-abyssal-conversation-id") == CONVERSATION


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (UnavailableError("down", code="store_unavailable"), 503, "conversation_not_stored"),
        (ConflictError("deleted", code="conversation_lost"), 409, "conversation_lost"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_stored_is_told(
    talk: Talk, fault: ApiError, status: int, code: str, stream: bool
) -> None:
    client = talk.opened(stream=stream)
    if stream:
        talk.stage.server.last.begin_stream().stream(chunk("a"), LAST, DONE)
        talk.stage.server.last.end_stream()
    else:
        talk.stage.server.last.answer()
    talk.tell(talk.question(APPEND)[0], fault)
    answer = client.answer()
    if stream:
        assert json.loads(answer.events[-1])["error"]["code"] == code
        assert "[DONE]" not in answer.events
    else:
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.header("retry-after") == "1"


def test_a_control_process_that_does_not_answer_is_given_up(talk: Talk) -> None:
    client = talk.ask()
    talk.question(OPEN)
    talk.stage.pass_time(44)
    assert client.answers() == []
    talk.stage.pass_time(2)
    assert (client.answer().status, client.answer().error["code"]) == (503, "store_unavailable")
    assert talk.question(RELEASE)[1].conversation == CONVERSATION
    other = talk.stage.client().ask()  # others go on
    talk.stage.server.last.answer()
    assert other.answer().status == 200
    client = talk.opened()
    talk.stage.server.last.answer()
    talk.question(APPEND)
    talk.stage.pass_time(16)
    assert client.answer().error["code"] == "conversation_not_stored"


def test_who_must_not_wait_says_so(talk: Talk) -> None:
    client = talk.ask(headers=b"X-Abyssal-Conversation: no-wait\r\n")
    ask, open_ = talk.question(OPEN)
    assert open_.wait is False
    talk.tell(ask, ConflictError("busy", code="conversation_busy"))
    assert (client.answer().status, client.answer().error["code"]) == (409, "conversation_busy")
    wrong = talk.ask(headers=b"X-Abyssal-Conversation: now\r\n")
    assert wrong.answer().error["param"] == "x-abyssal-conversation"


def test_an_unknown_one_is_the_control_process_s_answer(talk: Talk) -> None:
    client = talk.ask()
    fault = NotFoundError("none", param="conversation_id", code="conversation_not_found")
    talk.tell(talk.question(OPEN)[0], fault)
    assert client.answer().body == fault.as_json()
    assert talk.nothing_is_asked()


# Whoever leaves gives the conversation back


def test_the_client_leaves_while_it_waits(talk: Talk) -> None:
    client = talk.ask()
    ask, open_ = talk.question(OPEN)
    client.leave()
    assert talk.question(RELEASE)[1].call == open_.call
    talk.tell(ask, Opened(b"[]", [], True))  # it was on its way already
    assert talk.question(RELEASE)[1].call == open_.call
    assert talk.stage.server.connections == []


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_leaves_before_the_answer_is_complete(talk: Talk, stream: bool) -> None:
    client = talk.opened(stream=stream)
    if stream:
        talk.stage.server.last.begin_stream().stream(chunk("a"))
    client.leave()
    talk.question(RELEASE)
    assert talk.nothing_is_asked()


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_leaves_while_its_turn_is_stored(talk: Talk, stream: bool) -> None:
    client = talk.opened(stream=stream)
    if stream:
        talk.stage.server.last.begin_stream().stream(chunk("a"), LAST, DONE)
    else:
        talk.stage.server.last.answer()
    ask, _ = talk.question(APPEND)
    client.leave()
    talk.tell(ask)
    assert talk.nothing_is_asked()


@pytest.mark.parametrize("ending", ["error", "early", "refused", "unreadable", "garbage in a stream"])
def test_what_breaks_gives_it_back(talk: Talk, ending: str) -> None:
    stream = ending in ("early", "garbage in a stream")
    client = talk.opened(stream=stream, **({"model": "none"} if ending == "refused" else {}))
    if ending == "error":
        talk.stage.server.last.answer(b'{"error":{"message":"x"}}', 500)
    elif ending == "early":
        talk.stage.server.last.begin_stream().stream(chunk("a"))
        talk.stage.server.last.end_stream()
    elif ending == "unreadable":
        talk.stage.server.last.answer(b'{"choices":5}')
    elif ending == "garbage in a stream":
        talk.stage.server.last.begin_stream().stream(b"data: {", LAST, DONE)
        talk.stage.server.last.end_stream()
    talk.question(RELEASE)
    assert talk.nothing_is_asked()
    assert client.answer().complete


def test_a_history_that_does_not_fit_gives_it_back(talk: Talk) -> None:
    client = talk.ask(context_window=16, messages=[{"role": "user", "content": "x" * 400}])
    ask, open_ = talk.question(OPEN)
    assert open_.tokens == 16
    talk.tell(ask, Opened(b"[]", [], True))
    assert client.answer().error["param"] == "context_window"
    talk.question(RELEASE)


# What is sent, and what is kept


def test_system_messages_of_a_call_steer_it_and_are_not_kept(talk: Talk) -> None:
    brought = [{"role": "system", "content": "now"}, NEW, {"role": "system", "content": "aside"}]
    talk.ask(messages=brought, language="en")
    began_with = [{"role": "system", "content": "S"}, {"role": "user", "content": "example"}]
    talk.tell(
        talk.question(OPEN)[0],
        Opened(json.dumps(began_with).encode(), [json.dumps(EARLIER).encode()], True),
    )
    sent = talk.stage.server.last.request.json()["messages"]
    assert [each["content"].partition("\n")[0] for each in sent] == [
        "S", "now", "example", "before", "then", "hello there", "aside",
    ]  # fmt: skip
    assert "English" in sent[1]["content"]
    talk.stage.server.last.answer(completion("said"))
    ask, kept = talk.question(APPEND)
    assert json.loads(kept.messages) == [NEW, {"role": "assistant", "content": "said"}]
    talk.tell(ask)


def test_what_an_answer_goes_on_from_is_one_with_it(talk: Talk) -> None:
    prefix = {"role": "assistant", "content": "Once ", "prefix": True}
    talk.opened(messages=[NEW, prefix])
    assert talk.stage.server.last.request.json()["messages"][-1] == prefix
    talk.stage.server.last.answer(completion("upon"))
    ask, kept = talk.question(APPEND)
    assert json.loads(kept.messages) == [NEW, {"role": "assistant", "content": "Once upon"}]
    talk.tell(ask)


def test_tools_and_reasoning_are_folded_from_a_stream(talk: Talk) -> None:
    def delta(**fields: Any) -> bytes:
        return b"data: " + json.dumps({"choices": [{"index": 0, "delta": fields}]}).encode()

    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": arguments, **more.pop("named", {})}, **more}

    client = talk.opened(stream=True)
    talk.stage.server.last.begin_stream().stream(
        delta(role="assistant", content=None, reasoning_content="Hm"),
        delta(reasoning_content="m."),
        delta(tool_calls=[piece(0, "{", id="c0", named={"name": "f"})]),
        delta(tool_calls=[piece(0, "}"), piece(1, "[]", id="c1", named={"name": "g"})]),
        LAST,
        DONE,
    )
    talk.stage.server.last.end_stream()
    ask, kept = talk.question(APPEND)
    assert json.loads(kept.messages)[1] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Hmm.",
        "tool_calls": [
            {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "[]"}},
        ],
    }
    talk.tell(ask)
    assert client.answer().events[-1] == "[DONE]"


def test_where_older_turns_are_missing_what_is_left_of_one_goes_too(talk: Talk) -> None:
    client = talk.ask(context_window=1000)
    rest = [{"role": "tool", "tool_call_id": "x", "content": "5"}, *EARLIER]
    talk.tell(
        talk.question(OPEN)[0],
        Opened(b'[{"role":"user","content":"example"}]', [json.dumps(rest).encode()], False),
    )
    assert talk.stage.server.last.request.json()["messages"] == [*EARLIER, NEW]
    client.leave()
    talk.question(RELEASE)
    result = {"role": "tool", "tool_call_id": "x", "content": "5"}
    client = talk.ask(context_window=1000, messages=[result])
    talk.tell(talk.question(OPEN)[0], Opened(b"[]", [], False))
    assert client.answer().error["code"] == "context_length_exceeded"
    talk.question(RELEASE)


def test_what_a_model_holds_bounds_the_history(make_stage: Any) -> None:
    config = """
[[upstreams]]
name = "up"
kind = "openai"
base_url = "http://up.test:8001/base"
[[models]]
name = "m"
context = 100
targets = [{ upstream = "up" }]
"""
    talk = Talk(make_stage(config))
    for fields, tokens in (
        ({}, 75), ({"max_tokens": 10}, 90), ({"max_tokens": 99}, 50), ({"context_window": 500}, 100),
        ({"context_window": 60}, 60),
    ):  # fmt: skip
        client = talk.ask(**fields)
        assert talk.question(OPEN)[1].tokens == tokens
        client.leave()
        talk.question(RELEASE)


def test_a_long_history_comes_in_pieces(talk: Talk) -> None:
    client = talk.ask()
    ask, _ = talk.question(OPEN)
    long = [{"role": "user", "content": "x" * 300_000}, {"role": "assistant", "content": "y"}]
    whole = msgspec.msgpack.encode(Opened(b"[]", [json.dumps(long).encode()], True))
    for at in range(0, len(whole), 100_000):
        piece = whole[at : at + 100_000]
        talk.stage.gateway.take(Told(ask.number, 200, piece, at + 100_000 < len(whole)))
    talk.stage.turn()
    assert talk.stage.server.last.request.json()["messages"] == [*long, NEW]
    client.leave()
    talk.question(RELEASE)
