"""Plain calls: what goes up and what comes down, byte by byte."""

from __future__ import annotations

import json
import time

import pytest

from abyssal.testing import UPSTREAM_KEY, Answer

from .calls import Gateway, body

ODD = (
    b'{ "messages" :[ {"role":"user","content":"\xe4\xbd\xa0\\u597d \\/ \\u0000 1e5"} ],\n'
    b'\t"seed":  12345678901234567890,"temperature":1.0E-0, "model"\n: "%b" , '
    b'"x_unknown": {"model":null,"b":[1,2,{}]},"top_p":0.10 }  \n'
)
SPACED = (
    b'\n\n{"id":"x", "choices" : [ ],\t"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}, '
    b'"n":1.50e1}\n '
)


def test_a_body_that_need_not_change_is_sent_as_it_came(gateway: Gateway) -> None:
    content = ODD % b"upstream-model"
    assert gateway.ask(content).status == 200
    (request,) = gateway.upstream.requests[-1:]
    assert request.body == content


@pytest.mark.parametrize("model", ["open", "official"])
def test_a_renamed_model_changes_its_value_and_no_other_byte(gateway: Gateway, model: str) -> None:
    content = body(model, seed=1)
    assert gateway.ask(content).status == 200
    assert gateway.upstream.requests[-1].body == content.replace(model.encode(), b"upstream-model")


def test_a_renamed_model_keeps_every_value_of_an_odd_body(gateway: Gateway) -> None:
    assert gateway.ask(ODD % b"open").status == 200
    sent = gateway.upstream.requests[-1].body
    assert json.loads(sent) == json.loads(ODD % b"upstream-model")
    for literal in (
        b"12345678901234567890",
        b"1.0E-0",
        b"0.10",
        b"\\u597d \\/",
        b'{"model":null,"b":[1,2,{}]}',
    ):
        assert literal in sent


def test_a_stream_to_the_official_service_is_asked_for_in_the_clients_own_bytes(gateway: Gateway) -> None:
    content = body("official", stream=True)
    assert gateway.ask(content).status == 200
    assert gateway.upstream.requests[-1].body == content.replace(b"official", b"upstream-model")


@pytest.mark.parametrize("model", ["open", "official"])
def test_an_answer_comes_back_as_it_was_sent(gateway: Gateway, model: str) -> None:
    gateway.upstream.enqueue(Answer.text(SPACED.decode(), content_type="application/json"))
    answer = gateway.ask(body(model))
    assert (answer.status, answer.body) == (200, SPACED.strip())  # blank lines around it are no part of it
    row = gateway.settlement(answer)
    assert (row["status"], row["code"], row["model"], row["upstream"]) == (200, "", model, model)
    assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (7, 3, 0)


def test_times_of_a_call_are_kept(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat_stream(["a", "b"], every=0.1).delayed(0.2))
    began = time.time_ns()
    row = gateway.settlement(gateway.ask(body("open", stream=True)))
    assert 150_000 < row["first_byte_us"] < 400_000
    assert 450_000 < row["total_us"] < 900_000
    assert began < row["at"] < time.time_ns()


def test_what_is_counted_is_what_the_upstream_reported(gateway: Gateway) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36,
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    gateway.upstream.enqueue(Answer.chat("four", reasoning="two and two", usage=usage))
    answer = gateway.ask(body("official"))
    assert answer.json()["choices"][0]["message"]["reasoning_content"] == "two and two"
    row = gateway.settlement(answer)
    counted = [row[f"{kind}_tokens"] for kind in ("prompt", "completion", "cached", "reasoning")]
    assert counted == [100, 20, 64, 12]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "none",
        [],
        {"prompt_tokens": "7"},
        {"prompt_tokens": None, "completion_tokens": 1.5},
        {"prompt_tokens": -5, "completion_tokens": -(2**70)},
        {"prompt_tokens": 10**30, "completion_tokens": 2**64},
        {"prompt_tokens": 2**63, "completion_tokens": 2**63},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2**200}},
        {"prompt_tokens": 1, "completion_tokens_details": "all of them"},
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_usage_that_makes_no_sense_costs_neither_the_answer_nor_the_books(
    gateway: Gateway, usage: object, stream: bool
) -> None:
    gateway.upstream.enqueue(Answer.chat("fine", usage=False, extra={"usage": usage}))
    answer = gateway.ask(body("official", stream=stream))
    assert answer.status == 200
    assert b'"fine"' in answer.body
    row = gateway.settlement(answer)
    assert row["status"] == 200
    assert all(0 <= row[kind] < 2**62 for kind in row if kind.endswith("_tokens"))
    gateway.settlement(gateway.ask(body("official")))  # later calls are counted too


def test_headers_go_up_but_for_what_ends_at_the_gateway(gateway: Gateway) -> None:
    mine = {
        "User-Agent": "probe/1",
        "Accept": "application/json",
        "X-Anything": "a, b",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    ended = {
        "Cookie": "session=1",
        "x-api-key": gateway.server.api_key,
        "Proxy-Authorization": "Basic eDp5",
        "TE": "trailers",
        "Keep-Alive": "timeout=5",
        "Accept-Encoding": "gzip, br",
        "X-Request-Id": "mine",
        "X-Forwarded-For": "10.0.0.1",
        "X-Hop": "ends here",
    }
    lines = [f"{name}: {value}" for name, value in (mine | ended).items()]
    answer = gateway.ask(body("open"), headers=[*lines, "Connection: keep-alive, X-Hop"])
    assert answer.status == 200
    request = gateway.upstream.requests[-1]
    sent = {name.lower(): value for name, value in request.headers}
    assert len(sent) == len(request.headers)
    for name, value in mine.items():
        assert sent[name.lower()] == value
    assert sent["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert sent["host"] == gateway.upstream.url.removeprefix("http://")
    assert sent["content-type"] == "application/json"
    assert sent["content-length"] == str(len(request.body))
    assert sent["x-request-id"] == answer.header("x-request-id")
    left = {name.lower() for name in ended} & set(sent) - {"x-request-id"}
    assert not left
    assert gateway.server.api_key not in str(request.headers)


def test_headers_come_down_but_for_what_ends_at_the_gateway(gateway: Gateway) -> None:
    passed = {"x-ds-trace-id": "abc", "X-RateLimit-Remaining": "5", "openai-processing-ms": "12"}
    ended = {
        "Set-Cookie": "a=b",
        "Keep-Alive": "timeout=5",
        "Server": "upstream",
        "X-Request-Id": "theirs",
        "X-Hop": "ends here",
        "Connection": "keep-alive, X-Hop",
    }
    gateway.upstream.enqueue(Answer.chat("hello").with_headers(passed | ended))
    answer = gateway.ask(body("open"))
    for name, value in passed.items():
        assert answer.header(name) == value
    for name, value in ended.items():
        assert value not in (answer.header(name) or "")
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-api-version") == "v1"
    assert answer.header("date")


def test_calls_share_upstream_connections(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        for _ in range(5):
            connection.send(gateway.request(body("open")))
            assert connection.read_response().status == 200
    assert len({request.connection for request in gateway.upstream.requests[-5:]}) == 1


def test_interim_answers_of_the_upstream_stay_there(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("hello").preceded_by(100, 103))
    answer = gateway.ask(body("open"))
    assert (answer.status, answer.interim) == (200, ())
    assert b"hello" in answer.body


@pytest.mark.parametrize("framing", ["chunked", "close", "content-length"])
@pytest.mark.parametrize("size", [0, 100_000, 5_000_000])
def test_an_answer_of_any_size_and_framing_is_passed_on(gateway: Gateway, framing: str, size: int) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33}
    content = json.dumps({"id": "x", "pad": "x" * size, "choices": [], "usage": usage}).encode()
    fixed = Answer.text(content.decode(), content_type="application/json")
    gateway.upstream.enqueue(type(fixed)(body=fixed.body, framing=framing))  # type: ignore[arg-type]
    answer = gateway.ask(body("open"))
    assert answer.body == content
    row = gateway.settlement(answer)
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (
        200,
        11,
        22,
        0,
    )


def test_a_body_of_megabytes_goes_up(gateway: Gateway) -> None:
    content = body("upstream-model", user="x" * 512, padding="é" * 3_000_000)
    assert gateway.ask(content).status == 200
    assert gateway.upstream.requests[-1].body == content


def test_an_answer_that_came_dripping_is_whole(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("你好，世界").dripped(7, 0.001))
    assert gateway.ask(body("open")).json()["choices"][0]["message"]["content"] == "你好，世界"


def test_bytes_that_are_no_utf8_in_an_answer_are_the_clients_to_judge(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("hello").with_invalid_utf8())
    answer = gateway.ask(body("open"))
    assert answer.status in (200, 502)
    assert gateway.settlement(answer)["status"] == answer.status


def test_keep_alive_lines_of_the_official_service_before_an_answer(gateway: Gateway) -> None:
    gateway.upstream.enqueue(Answer.chat("late").with_keep_alives(5, 0.02))
    answer = gateway.ask(body("official"))
    assert answer.json()["choices"][0]["message"]["content"] == "late"


def test_the_front_page_answers_a_head_request_without_a_body(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        for path in ("/", "/metrics", "/nowhere"):
            connection.send(f"HEAD {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
            connection.read_response("HEAD")
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert connection.read_response().json() == {"status": "ok"}
