"""The embedded engine behind the gateway: its bounded queue, clients that leave, its death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from abyssal.testing import RunningServer, ScriptedUpstream

from .calls import Gateway, body, chunks, commands, events, table, text_of, wait_for

READYZ = b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n"
ENGINE = (
    table("[[upstreams]]", name="engine", kind="engine", slots=1, queue=1, threads=1)
    + table("[[models]]", name="abyssal-tiny")
    + 'targets = [{ upstream = "engine", model = "abyssal-tiny" }]\n'
)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One slot, and one place to wait."""
    with (
        RunningServer(ENGINE, tmp_path_factory.mktemp("embedded")) as server,
        ScriptedUpstream() as unused,
    ):
        yield Gateway(server, unused)


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that stands still for a moment."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_full_queue_of_the_engine_refuses(embedded: Gateway) -> None:
    call = embedded.request(body("abyssal-tiny", max_tokens=8))
    with embedded.connect() as working, embedded.connect() as waiting:
        with held(_engine_pid(embedded)):
            working.send(call)
            waiting.send(call)
            time.sleep(0.2)
            refused = embedded.ask(body("abyssal-tiny"))
            assert (refused.status, refused.json()["error"]["code"]) == (503, "queue_full")
            assert int(refused.header("retry-after") or "") >= 1
            assert embedded.get("/readyz").status == 200
        assert (working.read_response().status, waiting.read_response().status) == (200, 200)


def test_clients_that_leave_the_engine_free_it(embedded: Gateway) -> None:
    with held(_engine_pid(embedded)):
        for _ in range(5):
            with embedded.connect() as one, embedded.connect() as two:
                one.send(embedded.request(body("abyssal-tiny")))
                two.send(embedded.request(body("abyssal-tiny", stream=True)))
                time.sleep(0.05)
            time.sleep(0.05)
    assert embedded.ask(body("abyssal-tiny", max_tokens=8)).status == 200


@pytest.mark.parametrize("fields", [{}, {"logprobs": True, "top_logprobs": 1}], ids=str)
def test_include_usage_is_answered_as_by_the_official_service(
    embedded: Gateway, fields: dict[str, Any]
) -> None:
    def stream(**options: Any) -> list[dict[str, Any]]:
        call = body("abyssal-tiny", stream=True, max_tokens=5, seed=1, **fields, **options)
        return chunks(embedded.ask(call).body)

    asked = stream(stream_options={"include_usage": True})
    assert all(chunk["choices"] for chunk in asked)
    assert all("usage" in chunk for chunk in asked)
    assert asked[0]["usage"] is None
    assert asked[-1]["usage"]["completion_tokens"] > 0
    for other in (stream(), stream(stream_options={"include_usage": False})):
        assert "usage" not in other[0]
        assert other[-1]["usage"]["completion_tokens"] > 0


def test_the_death_of_the_engine_is_not_the_platforms(embedded: Gateway) -> None:
    engine = _engine_pid(embedded)
    with embedded.connect() as connection:
        os.kill(engine, signal.SIGSTOP)
        connection.send(embedded.request(body("abyssal-tiny", stream=True)))
        time.sleep(0.2)
        os.kill(engine, signal.SIGKILL)
        answer = connection.read_response()
    assert answer.status in (502, 503)
    assert answer.json()["error"]["code"] in ("upstream_closed", "upstream_unreachable")
    wait_for(lambda: embedded.get("/readyz").status == 503, "the truth of /readyz")
    refused = embedded.ask(body("abyssal-tiny"))
    assert (refused.status, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert int(refused.header("retry-after") or "") >= 1
    assert embedded.get("/healthz").status == 200
    wait_for(lambda: embedded.get("/readyz").status == 200, "the next engine", 20)
    assert _engine_pid(embedded) != engine
    assert embedded.ask(body("abyssal-tiny", max_tokens=5)).status == 200
    assert embedded.metric("abyssal_engine_restarts_total") == 1


def test_the_engines_stream_is_whole(embedded: Gateway) -> None:
    answer = embedded.ask(body("abyssal-tiny", stream=True, max_tokens=16))
    parts = chunks(answer.body)
    assert text_of(parts)
    assert parts[-1]["usage"]["completion_tokens"] <= 16
    assert events(answer.body)[-1] == b"[DONE]"


def _engine_pid(gateway: Gateway) -> int:
    running = commands()
    found = [pid for pid in gateway.server.child_pids() if pid not in gateway.worker_pids()]
    (engine,) = [pid for pid in found if "abyssal.engine" in running.get(pid, "")]
    return engine


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"said": "word " * 6000}, "messages", "context_length_exceeded"),
        ({"said": "hi", "n": 100}, "n", "invalid_value"),
        ({"said": "hi", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
         "messages[0].content", "missing_field"),
    ],
    ids=["too long", "too many answers", "no text"],
)  # fmt: skip
def test_what_the_engine_refuses_is_an_official_error(
    embedded: Gateway, asked: dict[str, Any], param: str, code: str
) -> None:
    answer = embedded.ask(body("abyssal-tiny", **asked))
    error = answer.json()["error"]
    assert (answer.status, error["type"]) == (400, "invalid_request_error"), error
    assert (error["param"], error["code"]) == (param, code)
