"""What the upstream refuses: its error objects are passed on as such, its secrets are not."""

from __future__ import annotations

import json

import pytest

from abyssal.testing import UPSTREAM_KEY, Answer, WireResponse

from .calls import Gateway, body

STATUSES = [400, 402, 403, 404, 413, 422, 429, 500, 503, 529]
LABELS = ["application/json", "application/octet-stream", "text/html", "text/event-stream"]
LEAK = f"Authentication Fails, Your api key: {UPSTREAM_KEY} is invalid"


def error_of(answer: WireResponse) -> dict[str, object]:
    """The error object; an answer that has none fails here."""
    assert answer.header("content-type") == "application/json"
    (error,) = answer.json().values()
    assert set(error) >= {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", STATUSES)
def test_an_error_is_passed_on_as_it_came(gateway: Gateway, status: int, stream: bool) -> None:
    refusal = Answer.error(status, "Because.", type="some_error", code="some_code", param="top_p")
    gateway.upstream.enqueue(refusal)
    answer = gateway.ask(body("official", stream=stream))
    assert answer.status == status
    said = {"message": "Because.", "type": "some_error", "param": "top_p", "code": "some_code"}
    assert error_of(answer) == said
    row = gateway.settlement(answer)
    assert (row["status"], row["code"]) == (status, "some_code")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (0, 0)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_error_is_labelled_as_what_it_is(gateway: Gateway, label: str, stream: bool) -> None:
    content = (
        '\n\n{"error": {"message": "Bad", "type": "invalid_request_error", "param": null, "code": null}}'
    )
    gateway.upstream.enqueue(Answer.text(content, 400, content_type=label))
    answer = gateway.ask(body("official", stream=stream))
    assert answer.status == 400
    assert error_of(answer) == json.loads(content)["error"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<html>502 Bad Gateway</html>",
        "null",
        '"error"',
        '{"detail":"Not Found"}',
        '{"error":"text"}',
        "[]",
        "{",
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_an_error_of_another_shape_is_put_into_this_one(gateway: Gateway, content: str, status: int) -> None:
    gateway.upstream.enqueue(Answer.text(content, status, content_type="text/html"))
    answer = gateway.ask(body("open"))
    assert answer.status == status
    error = error_of(answer)
    assert content.strip("{}[]") in json.dumps(error["message"]).replace("\\", "")


@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_when_to_come_back_is_passed_on(gateway: Gateway, retry_after: str) -> None:
    gateway.upstream.enqueue(Answer.error(429, "slow", retry_after=retry_after))
    answer = gateway.ask(body("open"))
    assert (answer.status, answer.header("retry-after")) == (429, retry_after)


@pytest.mark.parametrize("size", [0, 700_000])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_refused_credential_of_the_platform_is_not_the_clients_affair(
    gateway: Gateway, size: int, stream: bool
) -> None:
    refusal = Answer.error(401, LEAK + " " * size, type="authentication_error")
    gateway.upstream.enqueue(refusal.with_headers({"WWW-Authenticate": f'Bearer realm="{UPSTREAM_KEY}"'}))
    answer = gateway.ask(body("open", stream=stream))
    assert answer.status == 502
    assert error_of(answer)["code"] == "upstream_misconfigured"
    assert UPSTREAM_KEY not in answer.body.decode() + str(answer.headers)
    assert UPSTREAM_KEY not in gateway.server.log()
    row = gateway.settlement(answer)
    assert (row["status"], row["code"]) == (502, "upstream_misconfigured")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_by_nobody(gateway: Gateway, status: int) -> None:
    elsewhere = {"Location": f"{gateway.upstream.url}/v1/elsewhere"}
    gateway.upstream.enqueue(Answer.text("", status).with_headers(elsewhere))
    answer = gateway.ask(body("open"))
    assert answer.status == 502
    assert error_of(answer)["code"] == "upstream_misconfigured"
    assert answer.header("location") is None


@pytest.mark.parametrize("status", [204, 206, 226, 304])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_status_that_no_chat_call_has_is_the_upstreams_fault(
    gateway: Gateway, status: int, stream: bool
) -> None:
    gateway.upstream.enqueue(Answer.chat("hello").with_status(status))
    answer = gateway.ask(body("open", stream=stream))
    assert answer.status == 502
    error_of(answer)
    assert gateway.settlement(answer)["status"] == 502


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_of_a_megabyte_is_still_an_error_object(gateway: Gateway, status: int) -> None:
    gateway.upstream.enqueue(Answer.text("<p>" * 400_000, status, content_type="text/html"))
    answer = gateway.ask(body("open"))
    assert answer.status == status
    assert "<p>" in str(error_of(answer)["message"])


def test_an_error_code_may_be_anything(gateway: Gateway) -> None:
    for code in (429, {"a": 1}, ["x"], "\ud800", "é" * 500, "\x00", True):
        gateway.upstream.enqueue(Answer.text(json.dumps({"error": {"message": "m", "code": code}}), 400))
        answer = gateway.ask(body("open"))
        assert answer.status == 400
        assert len(gateway.settlement(answer)["code"]) <= 80


def test_a_model_that_is_not_there_is_told_with_the_nearest_names(gateway: Gateway) -> None:
    before = len(gateway.upstream.requests)
    answer = gateway.ask(body("offical"))
    error = error_of(answer)
    assert (answer.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "official" in str(error["message"])
    assert len(gateway.upstream.requests) == before


def test_a_stranger_is_told_nothing_of_his_key(gateway: Gateway) -> None:
    answer = gateway.ask(body("open"), key="sk-0123456789-stranger")
    error = error_of(answer)
    assert (answer.status, error["type"]) == (401, "authentication_error")
    assert str(error["message"]).startswith("Authentication Fails")
    assert "stran" not in answer.body.decode()
    assert "stranger" not in gateway.server.log()
