"""The unchanged OpenAI and Anthropic SDKs for Node.js; each case is a function of tests/node/clients.mjs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from abyssal.testing import Answer, tool_call

from .calls import Gateway

CALL = tool_call("get_weather", {"city": "北京"}, id="call_00_a")
Run = Callable[..., Any]


@pytest.fixture
def run(gateway: Gateway, node_client: list[str]) -> Run:
    """Runs a case against the gateway, whose upstream gives `answers` one after another."""

    def run(case: str, *answers: Answer, model: str = "official") -> Any:
        gateway.upstream.enqueue(*answers)
        environ = {
            **os.environ,
            "ABYSSAL_URL": gateway.server.url,
            "ABYSSAL_KEY": gateway.server.api_key,
            "ABYSSAL_MODEL": model,
        }
        done = subprocess.run([*node_client, case], env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_chat(run: Run) -> None:
    told = run("chat", Answer.chat("Hello!"))
    assert told["content"] == "Hello!"
    assert told["usage"]["total_tokens"] > 0
    assert told["id"]


@pytest.mark.parametrize("model", ["open", "official"])
def test_chat_streamed(run: Run, model: str) -> None:
    style = "openai" if model == "open" else "official"
    told = run("chatStream", Answer.chat_stream(["Hel", "lo"], usage_style=style), model=model)
    assert (told["content"], told["finish"]) == ("Hello", ["stop"])
    assert told["usage"]["completion_tokens"] > 0


def test_chat_with_tools(run: Run) -> None:
    (call,) = run("chatTool", Answer.chat(None, tool_calls=[CALL]))
    assert (call["id"], call["function"]["name"]) == ("call_00_a", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "北京"}


def test_its_own_loop_over_tools(run: Run, gateway: Gateway) -> None:
    told = run("chatRunTools", Answer.chat(None, tool_calls=[CALL]), Answer.chat("It is sunny."))
    assert told == {"asked": [{"city": "北京"}], "content": "It is sunny."}
    assert gateway.upstream.requests[-1].json()["messages"][-1]["content"] == "sunny"


def test_its_own_assembly_of_a_stream(run: Run) -> None:
    told = run("chatHelperStream", Answer.chat_stream(["Hel", "lo"]))
    assert told["content"] == "Hello"
    assert told["usage"]["total_tokens"] > 0


def test_a_stream_that_is_left(run: Run, gateway: Gateway) -> None:
    assert run("chatAborted", Answer.chat_stream(["x"] * 1000, every=0.01)) is True
    gateway.upstream.requests[-1].wait_closed(5.0)


def test_completions(run: Run) -> None:
    told = run("completion", Answer.chat(" upon"), model="open")
    assert (told["object"], told["text"]) == ("text_completion", " upon")
    assert told["usage"]["total_tokens"] > 0
    assert run("completionStream", Answer.chat_stream([" up", "on"]), model="open") == " upon"


def test_a_prefix_on_the_beta_route(run: Run, gateway: Gateway) -> None:
    assert run("betaPrefix", Answer.chat("let a;\n```")) == "let a;\n```"
    assert gateway.upstream.requests[-1].path == "/beta/chat/completions"


def test_responses(run: Run) -> None:
    told = run("responses", Answer.chat("Hello!"))
    assert (told["status"], told["text"]) == ("completed", "Hello!")
    assert told["usage"]["total_tokens"] > 0
    told = run("responsesStream", Answer.chat_stream(["Hel", "lo"]))
    assert told == {"types": ["response.created", "response.completed"], "text": "Hello"}


def test_models(run: Run) -> None:
    assert {"open", "official"} <= set(run("models"))


def test_embeddings(run: Run) -> None:
    """Each is asked for in base64 by this client, whatever its caller wants."""
    lengths = run("embeddings", model="open")
    assert len(lengths) == 2
    assert lengths[0] == lengths[1] > 0


def test_files(run: Run) -> None:
    assert run("files") == {"name": "note.txt", "bytes": 5, "text": "hello", "gone": True}


def test_refusals(run: Run) -> None:
    assert run("refused") == {
        "name": "NotFoundError",
        "status": 404,
        "code": "model_not_found",
        "type": "invalid_request_error",
        "param": "model",
    }
    assert run("stranger") == {"name": "AuthenticationError", "status": 401}


def test_a_stream_that_breaks(run: Run) -> None:
    told = run("brokenStream", Answer.chat_stream(["Hel", "lo"]).closed_early(after_events=2))
    assert told["isApiError"] is True
    assert "ended" in told["message"] or "closed" in told["message"]


def test_anthropic_messages(run: Run) -> None:
    told = run("messages", Answer.chat("Hello!"))
    assert (told["content"][-1]["text"], told["stop"]) == ("Hello!", "end_turn")
    assert told["usage"]["output_tokens"] > 0
    told = run("messagesStream", Answer.chat_stream(["Hel", "lo"]))
    assert told == {"seen": ["Hel", "lo"], "text": "Hello", "stop": "end_turn"}


def test_anthropic_tools(run: Run) -> None:
    told = run("messagesTool", Answer.chat(None, tool_calls=[CALL]))
    assert told["stop"] == "tool_use"
    assert (told["tool"]["name"], told["tool"]["input"]) == ("get_weather", {"city": "北京"})


def test_anthropic_counts_tokens(run: Run) -> None:
    assert run("countTokens")["input_tokens"] > 0


def test_anthropic_refusals(run: Run) -> None:
    assert run("messagesRefused") == {
        "name": "BadRequestError",
        "status": 400,
        "type": "invalid_request_error",
    }
