"""Bodies that are not what the chat route takes: 400 with the field's name, never a 500, nothing sent on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Stage

SAID = [{"role": "user", "content": "hi"}]
GOOD: dict[str, Any] = {"model": "test-model", "messages": SAID}
MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def post(body: bytes, headers: bytes = b"") -> bytes:
    return b"<head>Content-Length: %d\r\n%b\r\n%b" % (len(body), headers, body)


def refused(
    stage: Stage, body: bytes, allowed: set[int] | None = None, headers: bytes = b""
) -> dict[str, Any]:
    """The error object of a refusal."""
    return stage.refused(post(body, headers), allowed or {400}, closes=False).json()["error"]


NOT_AN_OBJECT = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "words": b"hello",
    "a form": b"model=test-model&messages=hi",
    "single quotes": b"{'model': 'test-model'}",
    "key without quotes": b'{model: "test-model"}',
    "half an object": b'{"model":"test-model","messages":[{"role":"us',
    "object and more": json.dumps(GOOD).encode() + b"x",
    "two objects": json.dumps(GOOD).encode() * 2,
    "trailing comma": b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],}',
    "comment": b'{"model":"test-model",/* */"messages":[{"role":"user","content":"hi"}]}',
    "NaN": b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"temperature":NaN}',
    "Infinity": b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"top_p":Infinity}',
    "leading zero": b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"max_tokens":01}',
    "raw line end in a string": b'{"model":"test-model","messages":[{"role":"user","content":"a\nb"}]}',
    "bad escape": b'{"model":"test-model","messages":[{"role":"user","content":"\\x41"}]}',
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "NUL bytes": b"\x00" * 100,
    "a list": b"[]",
    "a list of the object": json.dumps([GOOD]).encode(),
    "a string": b'"hello"',
    "a number": b"1",
    "null": b"null",
}


@pytest.mark.parametrize("body", list(NOT_AN_OBJECT.values()), ids=list(NOT_AN_OBJECT))
def test_what_is_not_a_json_object(stage: Stage, body: bytes) -> None:
    assert refused(stage, body)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"test-model","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"test-model","messages":[{"role":"user","content":"\xc3"}]}',
        b'{"model":"test-model","messages":[{"role":"user","content":"\xc0\x80"}]}',
        b'{"model":"test-model","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"test-model","messages":[{"role":"user","content":"\xf4\x90\x80\x80"}]}',
        b'{"model":"test-model\xff","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"x\xff":1}',
        b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"x":"\xff"}',
    ],
    ids=[
        "0xFF",
        "cut short",
        "overlong",
        "surrogate",
        "too large",
        "in the model",
        "in a key",
        "in an unknown",
    ],
)
def test_invalid_utf8(stage: Stage, body: bytes) -> None:
    refused(stage, body)


DEEP = 100_000


@pytest.mark.parametrize(
    "value",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"a":' * DEEP + b"1" + b"}]" * DEEP,
        b"[" * DEEP,
        b"[" * 1_000_000,
    ],
    ids=["lists", "objects", "both", "open lists", "a million"],
)
@pytest.mark.parametrize("key", [b"messages", b"unknown", b"tools", b"logit_bias"])
def test_nesting_that_would_trouble_a_parser(stage: Stage, key: bytes, value: bytes) -> None:
    refused(
        stage,
        b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],"' + key + b'":' + value + b"}",
    )


# Numbers and strings that trip one parser or another: taken or refused, but never a fault
STRANGE = {
    "integer of 5000 digits": b'"x":' + b"9" * 5000,
    "integer of 5000 digits and escapes": b'"x":' + b"9" * 5000 + b',"y":"\\u0041"',
    "huge exponent": b'"x":1e99999',
    "huge exponent in a field": b'"temperature":1e99999',
    "integer of 5000 digits in a field": b'"max_tokens":' + b"9" * 5000,
    "tiny number in a field": b'"temperature":' + b"0." + b"0" * 5000 + b"1",
    "lone surrogate escape": b'"x":"\\ud800"',
    "lone surrogate escape in the user": b'"user_id":"\\ud800"',
    "NUL escape": b'"user_id":"\\u0000"',
    "surrogate pair the wrong way": b'"x":"\\udc00\\ud800"',
    "empty key": b'"":1',
    "a key of 1 MiB": b'"' + b"k" * 1_048_576 + b'":1',
    "100 000 keys": b",".join(b'"k%d":1' % number for number in range(100_000)),
}


@pytest.mark.parametrize("member", list(STRANGE.values()), ids=list(STRANGE))
def test_strange_values_are_never_a_fault(stage: Stage, member: bytes) -> None:
    body = b'{"model":"test-model","messages":[{"role":"user","content":"hi"}],' + member + b"}"
    with stage.connect() as connection:
        connection.send(stage.fill(post(body)))
        answer = connection.read_response()
    assert answer.status in (200, 400), answer
    if answer.status == 400:
        stage.check_error(answer, {400})
    stage.check_well()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "model missing": ({"messages": SAID}, "model"),
    "model null": (GOOD | {"model": None}, "model"),
    "model a number": (GOOD | {"model": 1}, "model"),
    "model a list": (GOOD | {"model": ["test-model"]}, "model"),
    "model empty": (GOOD | {"model": ""}, "model"),
    "messages missing": ({"model": "test-model"}, "messages"),
    "messages null": (GOOD | {"messages": None}, "messages"),
    "messages a string": (GOOD | {"messages": "hi"}, "messages"),
    "messages an object": (GOOD | {"messages": SAID[0]}, "messages"),
    "messages empty": (GOOD | {"messages": []}, "messages"),
    "a message a string": (GOOD | {"messages": ["hi"]}, "messages[0]"),
    "a message null": (GOOD | {"messages": [*SAID, None]}, "messages[1]"),
    "a message without role": (GOOD | {"messages": [{"content": "hi"}]}, "messages[0]"),
    "a message with an unknown role": (
        GOOD | {"messages": [{"role": "robot", "content": "hi"}]},
        "messages[0]",
    ),
    "a role that is a number": (GOOD | {"messages": [{"role": 1, "content": "hi"}]}, "messages[0]"),
    "a user message without content": (GOOD | {"messages": [{"role": "user"}]}, "messages[0]"),
    "content null": (GOOD | {"messages": [{"role": "user", "content": None}]}, "messages[0]"),
    "content a number": (GOOD | {"messages": [{"role": "user", "content": 1}]}, "messages[0]"),
    "content an object": (GOOD | {"messages": [{"role": "user", "content": {}}]}, "messages[0]"),
    "a part that is a string": (GOOD | {"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0]"),
    "a part without type": (
        GOOD | {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
        "messages[0]",
    ),
    "a tool message without its call": (
        GOOD | {"messages": [{"role": "tool", "content": "1"}]},
        "messages[0]",
    ),
    "stream a string": (GOOD | {"stream": "true"}, "stream"),
    "stream a number": (GOOD | {"stream": 1}, "stream"),
    "stream_options without a stream": (GOOD | {"stream_options": {"include_usage": True}}, "stream_options"),
    "stream_options a list": (GOOD | {"stream": True, "stream_options": []}, "stream_options"),
    "include_usage a string": (
        GOOD | {"stream": True, "stream_options": {"include_usage": "y"}},
        "stream_options",
    ),
    "temperature a string": (GOOD | {"temperature": "hot"}, "temperature"),
    "temperature negative": (GOOD | {"temperature": -0.1}, "temperature"),
    "temperature over 2": (GOOD | {"temperature": 2.1}, "temperature"),
    "top_p over 1": (GOOD | {"top_p": 1.1}, "top_p"),
    "top_p negative": (GOOD | {"top_p": -1}, "top_p"),
    "max_tokens 0": (GOOD | {"max_tokens": 0}, "max_tokens"),
    "max_tokens negative": (GOOD | {"max_tokens": -1}, "max_tokens"),
    "max_tokens over 393216": (GOOD | {"max_tokens": 393_217}, "max_tokens"),
    "max_tokens a fraction": (GOOD | {"max_tokens": 1.5}, "max_tokens"),
    "max_tokens a string": (GOOD | {"max_tokens": "5"}, "max_tokens"),
    "n 0": (GOOD | {"n": 0}, "n"),
    "n a string": (GOOD | {"n": "1"}, "n"),
    "stop a number": (GOOD | {"stop": 1}, "stop"),
    "stop of 17": (GOOD | {"stop": ["x"] * 17}, "stop"),
    "stop with a number": (GOOD | {"stop": ["x", 1]}, "stop"),
    "frequency_penalty a string": (GOOD | {"frequency_penalty": "x"}, "frequency_penalty"),
    "presence_penalty over 2": (GOOD | {"presence_penalty": 3}, "presence_penalty"),
    "logprobs a number": (GOOD | {"logprobs": 3}, "logprobs"),
    "top_logprobs 21": (GOOD | {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "top_logprobs negative": (GOOD | {"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    "top_logprobs without logprobs": (GOOD | {"top_logprobs": 2}, "top_logprobs"),
    "logit_bias a list": (GOOD | {"logit_bias": []}, "logit_bias"),
    "logit_bias over 100": (GOOD | {"logit_bias": {"1": 101}}, "logit_bias"),
    "thinking a string": (GOOD | {"thinking": "enabled"}, "thinking"),
    "thinking of an unknown type": (GOOD | {"thinking": {"type": "maybe"}}, "thinking"),
    "reasoning_effort unknown": (GOOD | {"reasoning_effort": "enormous"}, "reasoning_effort"),
    "response_format a string": (GOOD | {"response_format": "json_object"}, "response_format"),
    "response_format unknown": (GOOD | {"response_format": {"type": "xml"}}, "response_format"),
    "tools an object": (GOOD | {"tools": TOOL}, "tools"),
    "tools of an unknown type": (GOOD | {"tools": [{"type": "hammer"}]}, "tools"),
    "a tool without a name": (GOOD | {"tools": [{"type": "function", "function": {}}]}, "tools"),
    "129 tools": (
        GOOD | {"tools": [{"type": "function", "function": {"name": f"f{n}"}} for n in range(129)]},
        "tools",
    ),
    "two tools of one name": (GOOD | {"tools": [TOOL, TOOL]}, "tools"),
    "tool_choice unknown": (GOOD | {"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice"),
    "user_id of 513 characters": (GOOD | {"user_id": "u" * 513}, "user_id"),
    "user_id a number": (GOOD | {"user_id": 1}, "user_id"),
}


@pytest.mark.parametrize(("request_", "param"), list(WRONG.values()), ids=list(WRONG))
def test_wrong_fields_are_named(stage: Stage, request_: dict[str, Any], param: str) -> None:
    error = refused(stage, json.dumps(request_).encode())
    named = error["param"] or ""
    assert named == param or named.startswith((param + ".", param + "[")), error
    assert error["type"] == "invalid_request_error"


def test_an_unknown_model_is_answered_with_the_nearest_names(stage: Stage) -> None:
    error = refused(stage, json.dumps(GOOD | {"model": "test-modle"}).encode(), {404})
    assert error["param"] == "model"
    assert "test-model" in error["message"]


def test_an_unknown_model_of_any_shape_is_only_unknown(stage: Stage) -> None:
    for name in ("../../etc/passwd", "test-model\n", "漢" * 200, "\u0000", "a" * 256):
        refused(stage, json.dumps(GOOD | {"model": name}).encode(), {400, 404})


# Two values for one key


# Written without the messages, which stand where the @ is.
DOUBLED = {
    "model": b'{"model":"test-model",@,"model":"other-model"}',
    "model, side by side": b'{"model":"other-model","model":"test-model",@}',
    "model, escaped": b'{"model":"test-model",@,"mod\\u0065l":"other-model"}',
    "model, escaped first": b'{"mod\\u0065l":"test-model",@,"model":"other-model"}',
    "model, an unknown one first": b'{"model":"forbidden","model":"test-model",@}',
    "model, an unknown one last": b'{"model":"test-model","model":"forbidden",@}',
    "model, first a number": b'{"model":1,"model":"test-model",@}',
    "model, last a number": b'{"model":"test-model",@,"model":1}',
    "stream, on then off": b'{"stream":true,"model":"test-model",@,"stream":false}',
    "stream, off then on": b'{"stream":false,"model":"test-model",@,"stream":true}',
    "stream, absent then on": b'{"stream":null,"model":"test-model",@,"stream":true}',
    "stream, escaped": b'{"stream":false,"model":"test-model",@,"strea\\u006d":true}',
    "stream, escaped with capitals": b'{"stream":false,"model":"test-model",@,"stre\\u0061\\u006D":true}',
    "stream, all escaped": b'{"stream":false,"model":"test-model",@,"\\u0073\\u0074\\u0072\\u0065am":true}',
    "messages": b'{"model":"test-model",@,@}',
    "max_tokens": b'{"model":"test-model",@,"max_tokens":1,"max_tokens":9}',
}


@pytest.mark.parametrize("body", list(DOUBLED.values()), ids=list(DOUBLED))
def test_a_doubled_key_is_collapsed_or_refused(stage: Stage, body: bytes) -> None:
    before = len(stage.upstream.requests)
    with stage.connect() as connection:
        connection.send(stage.fill(post(body.replace(b"@", MESSAGES))))
        answer = connection.read_response()
    if answer.status != 200:
        stage.check_error(answer, {400, 404})
        assert len(stage.upstream.requests) == before
        return
    sent: list[tuple[str, Any]] = json.loads(stage.upstream.requests[-1].body, object_pairs_hook=list)
    keys = [key for key, _ in sent]
    assert len(keys) == len(set(keys)), "the upstream was sent two values"
    assert dict(sent)["model"] == "upstream-model"
    streamed = (answer.header("content-type") or "").startswith("text/event-stream")
    assert streamed is (dict(sent).get("stream") is True)


@pytest.mark.parametrize("key", ["Model", "STREAM", "ſtream", "messageS"])
def test_a_key_that_differs_in_letter_case_never_means_the_same(stage: Stage, key: str) -> None:
    body = json.dumps(GOOD | {key: "other"}, ensure_ascii=False).encode()
    before = len(stage.upstream.requests)
    with stage.connect() as connection:
        connection.send(stage.fill(post(body)))
        answer = connection.read_response()
    assert answer.status in (200, 400)
    if answer.status == 200:  # then it travelled as what it is: another key
        assert stage.upstream.requests[-1].json()[key] == "other"
    else:
        assert len(stage.upstream.requests) == before


def test_the_same_key_deeper_down_is_not_doubled(stage: Stage) -> None:
    nested = GOOD | {"metadata": {"model": "other-model", "stream": True}, "note": '"model":"other-model"'}
    answer = stage.answered(post(json.dumps(nested).encode()))
    assert not (answer.header("content-type") or "").startswith("text/event-stream")
    sent = stage.upstream.requests[-1].json()
    assert sent == nested | {"model": "upstream-model"}


# Content types and codings


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"application/json; charset=utf-8", b"APPLICATION/JSON", b""]
)
def test_content_types_that_are_taken(stage: Stage, content_type: bytes) -> None:
    line = b"Content-Type: " + content_type + b"\r\n" if content_type else b""
    stage.answered(post(json.dumps(GOOD).encode(), line))


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"what"])
def test_a_coded_body_that_cannot_be_read(stage: Stage, coding: bytes) -> None:
    refused(stage, b"\x1f\x8b not really", {400, 415}, b"Content-Encoding: " + coding + b"\r\n")


def test_unknown_fields_travel_on_untouched(stage: Stage) -> None:
    body = b'{ "model" : "test-model", "zeta":1.0e2 ,@, "text":"\xe6\xbc\xa2", "a":[ ] }'.replace(
        b"@", MESSAGES
    )
    stage.answered(post(body))
    assert stage.upstream.requests[-1].body == body.replace(b"test-model", b"upstream-model")
