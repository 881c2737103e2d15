"""Whatever the kind of an upstream, a client sees the official service: one suite for all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.messages import DONE, USAGE, chunk, completion
from tests.unit.gateway.stage import Stage

SAID = [{"role": "user", "content": "hi"}]
USAGE_CHUNK = b"data: " + json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode()


def finish(stage: Stage, kind: str) -> None:
    """The end of a stream as this kind of server sends it."""
    if kind == "deepseek":
        stage.server.last.stream(chunk("", "stop", usage=USAGE), DONE).end_stream()
    else:
        stage.server.last.stream(chunk("", "stop"), USAGE_CHUNK, DONE).end_stream()


def test_the_model_s_name_is_the_upstream_s_own(stage: Stage) -> None:
    stage.client().ask(temperature=0.5, max_tokens=7, messages=[{"role": "user", "content": '"model":"m"'}])
    asked = stage.server.last.request.json()
    assert asked["model"] == "their-model"
    assert (asked["temperature"], asked["max_tokens"]) == (0.5, 7)
    assert asked["messages"] == [{"role": "user", "content": '"model":"m"'}]


@pytest.mark.parametrize("key", ["model", "\\u006dodel", "mod\\u0065l"])
def test_the_name_is_replaced_however_its_key_is_spelled(stage: Stage, key: str) -> None:
    said = '{"messages":[{"role":"user","content":"\\"model\\":\\"m\\""}],"KEY":"m","x":{"model":"m"}}'
    stage.client().ask(said.replace("KEY", key).encode())

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs), "a key is there twice"
        return dict(pairs)

    asked = json.loads(stage.server.last.request.body, object_pairs_hook=once)
    assert asked["model"] == "their-model"
    assert asked["messages"][0]["content"] == '"model":"m"'


OPTIONS: list[tuple[str, bytes]] = [
    ("nothing asked", b""),
    ("usage asked", b',"stream_options":{"include_usage":true}'),
    ("no usage asked", b',"stream_options":{"include_usage":false}'),
    ("empty", b',"stream_options":{}'),
    ("null", b',"stream_options":null'),
    ("null in disguise", b',"\\u0073tream_options":null'),
    ("named in a text", b',"user":"\\"stream_options\\""'),
    ("named below", b',"x":{"stream_options":{"include_usage":false}}'),
]


@pytest.mark.parametrize("options", [case[1] for case in OPTIONS], ids=[case[0] for case in OPTIONS])
@pytest.mark.parametrize("space", [b"", b" \r\n\t"])
def test_a_stream_reports_its_usage_on_its_finishing_chunk_whatever_was_asked(
    stage: Stage, kind: str, options: bytes, space: bytes
) -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true'
        + options
        + space
        + b"}"
        + space
    )
    client = stage.client().ask(body)
    asked = json.loads(
        stage.server.last.request.body,
        object_pairs_hook=lambda pairs: (
            pytest.fail("twice") if len(dict(pairs)) < len(pairs) else dict(pairs)
        ),
    )
    assert asked["stream"] is True
    if kind != "deepseek":
        assert asked["stream_options"] == {"include_usage": True}
    else:
        assert asked == json.loads(body) | {"model": "their-model"}
    stage.server.last.begin_stream().stream(chunk("a"))
    finish(stage, kind)
    events = client.answer().events
    assert len(events) == 3
    usage = json.loads(events[1])["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (11, 5)
    assert (stage.settled[0].prompt_tokens, stage.settled[0].completion_tokens) == (11, 5)


def test_a_plain_answer(stage: Stage) -> None:
    client = stage.client().ask()
    assert "stream_options" not in stage.server.last.request.json()
    stage.server.last.answer(completion("hello", system_fingerprint="b1-x", timings={"a": 1}))
    answer = client.answer().json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert answer["usage"]["total_tokens"] == 16
    assert stage.settled[0].status == 200


@pytest.mark.parametrize("usage", [None, {}, "x", [], {"prompt_tokens": None}, {"prompt_tokens_details": 5}])
@pytest.mark.parametrize("streamed", [True, False])
def test_strange_usage_is_nobody_s_fault(stage: Stage, usage: Any, streamed: bool) -> None:
    client = stage.client().ask(stream=streamed)
    if streamed:
        alone = b"data: " + json.dumps({"id": "x", "choices": [], "usage": usage}).encode()
        stage.server.last.begin_stream().stream(chunk("a"), chunk("", "stop"), alone, DONE).end_stream()
        assert client.answer().events[-1] == "[DONE]"
    else:
        stage.server.last.answer(completion(usage=usage))
        assert client.answer().status == 200
    assert stage.settled[0].status == 200


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_an_error_keeps_its_status(stage: Stage, status: int) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.answer(b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}', status)
    assert (client.answer().status, client.answer().error["message"]) == (status, "no")


def test_an_end_without_an_end_is_an_error_event(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk("a")).end_stream()
    assert json.loads(client.answer().events[-1])["error"]["code"] == "upstream_ended_early"


def test_a_client_that_leaves_frees_the_upstream(stage: Stage) -> None:
    client = stage.client().ask(stream=True)
    stage.server.last.begin_stream().stream(chunk("a"))
    client.leave()
    assert stage.server.last.closed
    assert stage.upstream.in_flight == 0
    assert stage.settled[0].status == 499


STRANGE_CALLS = [
    [1],
    [None],
    ["x"],
    [{}],
    [{"function": "f"}],
    [{"function": {"arguments": 5}}],
    [{"function": {"arguments": "not JSON"}}],
    [{"function": {"name": "f", "arguments": '{"a":' * 200 + "1" + "}" * 200}}],
]


@pytest.mark.parametrize("calls", STRANGE_CALLS)
def test_strange_tool_calls_of_an_earlier_turn_never_trouble_the_platform(
    stage: Stage, calls: list[Any]
) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    client = stage.client().ask(messages=[*SAID, turn, *SAID])
    if not client.bytes:
        assert stage.server.last.request.json()["messages"][1]["tool_calls"] == calls
        return
    assert client.answer().status == 400


@pytest.mark.parametrize("choice", [{}, {"function": 5}, {"function": {"name": 5}}, {"type": "function"}])
def test_strange_tool_choices_never_trouble_the_platform(stage: Stage, choice: Any) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    for tools in ([tool], []):
        client = stage.client().ask(tools=tools, tool_choice=choice)
        assert not client.bytes or client.answer().status == 400
