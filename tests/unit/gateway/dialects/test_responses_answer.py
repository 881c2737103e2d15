"""A whole chat answer becomes a response object."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from abyssal.gateway.dialects.responses import Responses
from abyssal.wire.chat import ChatCompletion

TOOL = {
    "type": "function",
    "name": "add",
    "description": "d",
    "parameters": {"type": "object"},
    "strict": True,
}
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_cache_hit_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def completion(finish: str | None = "stop", *, top: dict[str, Any] | None = None, **message: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    logprobs = message.pop("logprobs", None)
    whole = {
        "id": "0f1e-77",
        "created": 1_700_000_000,
        "model": "deepseek-flash",
        "choices": [choice | {"logprobs": logprobs}],
        "usage": USAGE,
    }
    return msgspec.convert(whole | (top or {}), ChatCompletion)


def response_for(answer: Any, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", "input": "hi"} | fields).encode()
    return json.loads(Responses(lambda: 1_700_000_009).read(body).writer.answer(answer))


def call(call_id: str, name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_whole_object() -> None:
    assert response_for(completion(content="Hello!", reasoning_content="Hm.")) == {
        "id": "resp_0f1e77",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "deepseek-flash",
        "status": "completed",
        "completed_at": 1_700_000_009,
        "error": None,
        "incomplete_details": None,
        "output": [
            {
                "type": "reasoning",
                "id": "rs_0f1e77_0",
                "status": "completed",
                "content": [{"type": "reasoning_text", "text": "Hm."}],
                "summary": [],
            },
            {
                "type": "message",
                "id": "msg_0f1e77_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}],
            },
        ],
        "usage": {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 16,
        },
        "background": False,
        "frequency_penalty": 0,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "presence_penalty": 0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1,
        "truncation": "disabled",
        "user": None,
    }


def test_what_was_asked_is_said_back() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    choice = {"type": "function", "name": "add"}
    asked: dict[str, Any] = {
        "frequency_penalty": 0.5,
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "max_tool_calls": 3,
        "presence_penalty": -0.5,
        "prompt_cache_key": "k",
        "metadata": {"k": "v"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": None},
        "safety_identifier": "s",
        "temperature": 0.5,
        "text": {"format": schema},
        "tool_choice": choice,
        "tools": [TOOL],
        "top_logprobs": 2,
        "top_p": 0.5,
        "user": "u",
    }
    response = response_for(completion(content="x"), **asked, store=True, truncation="auto")
    assert {name: response[name] for name in asked} == asked
    assert (response["store"], response["truncation"]) == (False, "disabled")


def test_function_calls() -> None:
    answer = completion("tool_calls", content="I add.", tool_calls=[call("c1"), call("c2", "sub", '{"a":1}')])
    response = response_for(answer)
    assert response["status"] == "completed"
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    assert response["output"][1:] == [
        {
            "type": "function_call",
            "id": "fc_0f1e77_1",
            "status": "completed",
            "call_id": "c1",
            "name": "add",
            "arguments": "{}",
        },
        {
            "type": "function_call",
            "id": "fc_0f1e77_2",
            "status": "completed",
            "call_id": "c2",
            "name": "sub",
            "arguments": '{"a":1}',
        },
    ]


def test_calls_can_be_told_apart_whatever_the_upstream_called_them() -> None:
    response = response_for(completion("tool_calls", tool_calls=[call("c"), call("c"), call(""), call("")]))
    ids = [item["call_id"] for item in response["output"]]
    assert ids[0] == "c"
    assert len(set(ids)) == 4
    assert all(ids)


@pytest.mark.parametrize(
    ("finish", "status", "reason", "code"),
    [
        ("stop", "completed", None, None),
        ("tool_calls", "completed", None, None),
        (None, "completed", None, None),
        ("a reason of tomorrow", "completed", None, None),
        ("length", "incomplete", "max_output_tokens", None),
        ("content_filter", "incomplete", "content_filter", None),
        ("insufficient_system_resource", "failed", None, "server_error"),
        ("aborted", "failed", None, "server_error"),
    ],
)
def test_how_it_ended(finish: str | None, status: str, reason: str | None, code: str | None) -> None:
    response = response_for(completion(finish, content="Hel", reasoning_content="Hm"))
    assert response["status"] == status
    assert response["incomplete_details"] == (reason and {"reason": reason})
    assert (response["error"] and response["error"]["code"]) == code
    assert not code or finish in response["error"]["message"]
    last = "completed" if status == "completed" else "incomplete"
    assert [item["status"] for item in response["output"]] == ["completed", last]


def test_nothing_said_is_an_empty_message() -> None:
    (item,) = response_for(completion(content=None))["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "")
    assert [i["type"] for i in response_for(completion("length", reasoning_content="Hm"))["output"]] == [
        "reasoning"
    ]


def test_an_answer_without_choices_has_failed() -> None:
    response = response_for(completion(top={"choices": []}))
    assert (response["status"], response["output"]) == ("failed", [])
    assert response["error"]["code"] == "server_error"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("chatcmpl-9b_Z", "resp_9bZ"),
        ("0b5e7f5a-1111-4222-8333-444455556666", "resp_0b5e7f5a111142228333444455556666"),
        ('"\n\x00<script>', "resp_script"),
        ("x" * 300, "resp_" + "x" * 64),
    ],
)
def test_its_name(given: str, found: str) -> None:
    assert response_for(completion(content="x", top={"id": given}))["id"] == found


def test_a_nameless_answer_gets_a_name_from_its_request() -> None:
    names = {
        response_for(completion(content="x", top={"id": given}), user=user)["id"]
        for given in ("", "-", "日本")
        for user in ("a", "b")
    }
    assert len(names) == 2
    assert all(len(name) == len("resp_") + 32 for name in names)


def test_an_upstream_that_tells_no_usage_or_model() -> None:
    response = response_for(completion(content="x", top={"usage": None, "model": "", "created": 0}))
    assert (response["usage"], response["model"], response["created_at"]) == (None, "m", 0)
    details = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
    usage = response_for(completion(content="x", top={"usage": details}))["usage"]
    assert (usage["total_tokens"], usage["input_tokens_details"]["cached_tokens"]) == (7, 2)


def test_log_probabilities() -> None:
    rival = {"token": "Ha", "logprob": -2.0, "bytes": [72, 97]}
    token = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": [rival]}
    response = response_for(completion(content="Hi", logprobs={"content": [token]}), top_logprobs=1)
    assert response["output"][0]["content"][0]["logprobs"] == [
        {
            "token": "Hi",
            "bytes": [],
            "logprob": -0.5,
            "top_logprobs": [{"token": "Ha", "bytes": [72, 97], "logprob": -2.0}],
        }
    ]
