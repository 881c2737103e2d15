"""Conversations through a running gateway: what is kept, what the upstream is sent, over every route."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.sync.client import connect

from abyssal.testing import Answer

from .calls import Gateway, chunks, events, text_of, wait_for
from .talking import HI, begin, chat, said, send, turns


def asked(gateway: Gateway) -> dict[str, Any]:
    """What the upstream got last."""
    return gateway.upstream.requests[-1].json()


def test_plain_and_streamed_calls_go_on_from_each_other(gateway: Gateway) -> None:
    conversation = begin(gateway.server, system_prompt="Be brief.")
    gateway.upstream.enqueue(Answer.chat("Hello.", reasoning="A greeting."))
    first = chat(gateway.server, conversation, "Hi")
    assert first.status == 200, first.body
    assert json.loads(first.body)["conversation_id"] == conversation
    assert first.header("x-abyssal-conversation-id") == conversation
    gateway.upstream.enqueue(Answer.chat_stream(["Wolf", "gang."], reasoning=["Think"]))
    second = chat(gateway.server, conversation, "A name?", stream=True)
    assert second.header("x-abyssal-conversation-id") == conversation
    assert text_of(chunks(second.body)) == "Wolfgang."
    sent = asked(gateway)
    assert not {"conversation_id", "context_window", "language"} & set(sent)
    assert [message["content"] for message in sent["messages"]] == ["Be brief.", "Hi", "Hello.", "A name?"]
    kept = turns(gateway.server, conversation)
    assert kept[0][1] == {"role": "assistant", "content": "Hello.", "reasoning_content": "A greeting."}
    assert kept[1][1] == {"role": "assistant", "content": "Wolfgang.", "reasoning_content": "Think"}


def test_calls_of_tools_and_their_results_stay(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    call = {"id": "c1", "type": "function", "function": {"name": "sum", "arguments": "{}"}}
    choice = {"index": 0, "finish_reason": "tool_calls"}
    gateway.upstream.enqueue(
        Answer.json(
            {
                "id": "x",
                "choices": [
                    choice | {"message": {"role": "assistant", "content": None, "tool_calls": [call]}}
                ],
            }
        )
    )
    assert chat(gateway.server, conversation, "1+1").status == 200
    result = {"role": "tool", "tool_call_id": "c1", "content": "2"}
    gateway.upstream.enqueue(Answer.chat("It is 2."))
    assert chat(gateway.server, conversation, messages=[result]).status == 200
    assert asked(gateway)["messages"] == [
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        result,
    ]
    assert turns(gateway.server, conversation)[1] == [result, {"role": "assistant", "content": "It is 2."}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "path", ["/v1/text/generate", "/v1/text/completion", "/v1/completions", "/beta/completions"]
)
def test_text_routes_tell_the_conversation(gateway: Gateway, path: str, stream: bool) -> None:
    conversation = begin(gateway.server)
    for text in ("one", "two"):
        gateway.upstream.enqueue(Answer.chat_stream([text, "!"]) if stream else Answer.chat(text + "!"))
        answer = send(
            gateway.server, "POST", path,
            {"model": "open", "prompt": text, "conversation_id": conversation, "stream": stream},
        )  # fmt: skip
        assert answer.status == 200, answer.body
        parts = chunks(answer.body) if stream else [json.loads(answer.body)]
        assert {part["conversation_id"] for part in parts} == {conversation}
        assert "".join(part["choices"][0]["text"] for part in parts if part["choices"]) == f"{text}!"
    assert asked(gateway)["messages"] == [*said("one", "one!"), {"role": "user", "content": "two"}]
    assert turns(gateway.server, conversation) == [said("one", "one!"), said("two", "two!")]


def test_text_generate_says_null_without_one(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("x"))
    answer = send(gateway.server, "POST", "/v1/text/generate", {"model": "open", "prompt": "x"})
    assert json.loads(answer.body)["conversation_id"] is None


def test_over_a_websocket(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    headers = {"Authorization": f"Bearer {gateway.server.api_key}"}
    address = gateway.server.url.replace("http", "ws", 1) + "/v1/stream"
    for text in ("one", "two"):
        gateway.upstream.enqueue(Answer.chat_stream([text, "!"]))
        with connect(address, additional_headers=headers) as socket:
            socket.send(json.dumps({"model": "open", "prompt": text, "conversation_id": conversation}))
            last = [json.loads(message) for message in socket][-1]
        assert last["conversation_id"] == conversation
    assert len(asked(gateway)["messages"]) == 3
    assert turns(gateway.server, conversation) == [said("one", "one!"), said("two", "two!")]
    with connect(address, additional_headers=headers) as socket:
        socket.send(json.dumps({"model": "open", "prompt": "x", "conversation_id": "conv_0"}))
        assert json.loads(socket.recv(timeout=10))["error"]["code"] == "conversation_not_found"


def test_another_project_s_id_is_as_one_that_is_not(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    project = json.loads(send(gateway.server, "POST", "/v1/platform/projects", {"name": "other"}).body)["id"]
    made = send(
        gateway.server, "POST", "/v1/platform/keys", {"name": "k", "project": project, "scopes": ["chat"]}
    )
    key = json.loads(made.body)["secret"]
    answers = [
        send(
            gateway.server, "POST", "/v1/chat/completions",
            {"model": "open", "messages": [{"role": "user", "content": "hi"}], "conversation_id": named},
            key=key,
        )
        for named in (conversation, "conv_00000000000000000000", "x")
    ]  # fmt: skip
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert json.loads(answers[0].body)["error"]["code"] == "conversation_not_found"
    assert send(gateway.server, "GET", f"/v1/conversations/{conversation}", key=key).body == answers[0].body


def test_what_goes_wrong_keeps_nothing(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    gateway.upstream.enqueue(Answer.error(500))
    assert chat(gateway.server, conversation).status == 500
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"]).closed_early(after_events=1))
    broken = chat(gateway.server, conversation, stream=True)
    assert b'"error"' in events(broken.body)[-1]
    assert chat(gateway.server, conversation, model="nothing").status == 404
    gateway.upstream.enqueue(Answer.chat("fine"))
    assert chat(gateway.server, conversation, "at last").status == 200  # and nobody holds it
    assert turns(gateway.server, conversation) == [said("at last", "fine")]


def test_windows_and_languages_without_a_conversation(gateway: Gateway) -> None:
    history = [
        {"role": "system", "content": "Be brief."},
        *said("x" * 400, "y" * 400),
        {"role": "user", "content": "now"},
    ]
    gateway.upstream.enqueue(Answer.chat("ok"))
    fields = {"model": "open", "messages": history, "context_window": 100, "language": "zh-CN"}
    assert send(gateway.server, "POST", "/v1/chat/completions", fields).status == 200
    sent = asked(gateway)
    assert set(sent) == {"model", "messages"}
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][0]["content"].startswith("Be brief.\n\nAnswer in Chinese")
    for fields, param in (
        ({"context_window": 16, "messages": [{"role": "user", "content": "x" * 400}]}, "context_window"),
        ({"context_window": 15}, "context_window"),
        ({"language": "xx"}, "language"),
        ({"language": 5}, "language"),
        ({"conversation_id": 5}, "conversation_id"),
    ):
        refused = send(
            gateway.server, "POST", "/v1/chat/completions", {"model": "open", "messages": history, **fields}
        )
        assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, param)


def test_nulls_do_not_travel_on(gateway: Gateway) -> None:
    nulls = {"language": None, "context_window": None, "conversation_id": None}
    gateway.upstream.enqueue(Answer.chat("ok"))
    fields = {"model": "open", "messages": [{"role": "user", "content": "x"}], **nulls}
    assert send(gateway.server, "POST", "/v1/chat/completions", fields).status == 200
    assert not set(nulls) & set(asked(gateway))
    gateway.upstream.enqueue(Answer.json({"id": "c", "choices": [{"text": "x", "index": 0}]}))
    fields = {"model": "official", "prompt": "x", "suffix": "y", **nulls, "context_window": 50}
    assert send(gateway.server, "POST", "/beta/completions", fields).status == 200
    assert asked(gateway)["suffix"] == "y"
    assert not set(nulls) & set(asked(gateway))


@pytest.mark.parametrize("value", [None, "a"])
@pytest.mark.parametrize("name", ["cache", "experiment"])
def test_what_is_reserved_for_the_platform_does_not_travel_on(
    gateway: Gateway, name: str, value: str | None
) -> None:
    gateway.upstream.enqueue(Answer.chat("ok"))
    fields = {"model": "open", "messages": [{"role": "user", "content": "x"}], name: value, "top_k": 4}
    assert send(gateway.server, "POST", "/v1/chat/completions", fields).status == 200
    assert set(asked(gateway)) == {"model", "messages", "top_k"}
    for name, value in (("language", "en"), ("conversation_id", begin(gateway.server))):
        refused = send(
            gateway.server, "POST", "/beta/completions",
            {"model": "official", "prompt": "x", "suffix": "y", name: value},
        )  # fmt: skip
        assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, name)


def test_a_cancelled_request_on_a_socket_keeps_nothing(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    address = gateway.server.url.replace("http", "ws", 1) + "/v1/stream"
    ask = {"type": "request", "model": "open", "prompt": "one", "conversation_id": conversation}
    with connect(address) as socket:
        socket.send(json.dumps({"type": "auth", "token": f"Bearer {gateway.server.api_key}"}))
        gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], every=5.0))
        socket.send(json.dumps(ask))
        assert json.loads(socket.recv(timeout=10))["content"] == "a"
        socket.send(json.dumps({"type": "cancel"}))
        assert json.loads(socket.recv(timeout=10))["type"] == "cancelled"
        gateway.upstream.enqueue(Answer.chat_stream(["done"]))
        socket.send(json.dumps(ask | {"prompt": "two"}))
        while json.loads(socket.recv(timeout=10))["type"] != "done":
            pass
    assert turns(gateway.server, conversation) == [said("two", "done")]


def test_a_resumable_answer_is_kept_though_nobody_reads_it(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b", "c"], every=0.2))
    asked = {"model": "open", "messages": HI, "stream": True, "conversation_id": conversation}
    content = json.dumps(asked).encode()
    with gateway.connect() as connection:
        connection.send(gateway.request(content, headers=["x-abyssal-resumable: 1"]))
        connection.read_until(b'"a"')
    kept = wait_for(lambda: turns(gateway.server, conversation), "the turn", 10)
    assert kept == [said("hi", "abc")]


def test_a_deleted_conversation_is_gone_for_calls_too(gateway: Gateway) -> None:
    conversation = begin(gateway.server)
    gone = send(gateway.server, "DELETE", f"/v1/conversations/{conversation}")
    assert json.loads(gone.body)["deleted"] is True
    assert chat(gateway.server, conversation).status == 404
