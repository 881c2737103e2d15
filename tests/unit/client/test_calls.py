"""Plain calls, blocking and asyncio, over both transports, against a server that says what it is told."""

from __future__ import annotations

import socket
from email.utils import formatdate

import pytest

from abyssal import (
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    ChatCompletion,
    ConfigurationError,
    ProtocolError,
    RateLimitError,
    Timeout,
    UnavailableError,
    __version__,
)
from abyssal.wire.errors import error_for_status

from .face import ASK, KEY, Face, opened_face
from .raw_server import Peer, RawServer, answer, completion, error_body

OK = answer(completion())


def test_a_call(server: RawServer, face: Face) -> None:
    server.will(answer(completion(usage={"prompt_tokens": 3}), x_request_id="req-1"))
    response = face.create(temperature=0.5)
    assert type(response) is ChatCompletion
    assert response.choices[0].message.content == "Hello!"
    assert response.choices[0].message.reasoning_content is None
    assert response.usage is not None
    assert response.usage.prompt_tokens == 3
    assert response.request_id == "req-1"
    request = server.requests[0]
    assert (request.method, request.target, request.version) == ("POST", "/v1/chat/completions", "HTTP/1.1")
    assert request.json == {**ASK, "temperature": 0.5}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith(f"abyssal/{__version__} ")


def test_the_official_trace_id_is_a_request_id(server: RawServer, face: Face) -> None:
    server.will(answer(completion(), x_ds_trace_id="trace-1"))
    assert face.create().request_id == "trace-1"


def test_blank_lines_before_the_answer(server: RawServer, face: Face) -> None:
    def slowly(peer: Peer) -> None:
        head, _, body = answer(b"\n\n\n" + completion()).partition(b"\r\n\r\n")
        peer.send(head + b"\r\n\r\n\n")
        peer.send(b"\n\n" + body[3:])

    server.will(slowly)
    assert face.create().choices[0].message.content == "Hello!"


def test_text_of_any_language_and_length(server: RawServer, face: Face) -> None:
    text = "深海🐋\0\n" * 100_000
    server.will(answer(completion(text)))
    assert face.create(messages=[{"role": "user", "content": text}]).choices[0].message.content == text
    assert server.requests[0].json["messages"][0]["content"] == text


def test_extra_headers(server: RawServer, face: Face) -> None:
    server.will(OK)
    face.create(extra_headers={"X-Team": "blue", "Authorization": "Basic x"})
    assert server.requests[0].headers["x-team"] == "blue"
    assert server.requests[0].headers["authorization"] == "Basic x"


def test_models(server: RawServer, face: Face) -> None:
    server.will(answer({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, x_request_id="r"))
    models = face.run(face.client.models.list())
    assert [model.id for model in models] == ["a", "b"]
    assert models.request_id == "r"
    assert (server.requests[0].method, server.requests[0].target) == ("GET", "/v1/models")


def test_raw_response(server: RawServer, face: Face) -> None:
    server.will(answer(completion(), status=201, x_thing="1"))
    raw = face.run(face.client.chat.completions.with_raw_response.create(**ASK))
    assert (raw.status, raw.headers["x-thing"], raw.content) == (201, "1", completion())
    assert raw.parse().choices[0].message.content == "Hello!"
    assert raw.json()["choices"][0]["index"] == 0
    assert raw.text == completion().decode()


def test_any_request(server: RawServer, face: Face) -> None:
    server.will(answer({"is_available": True}), answer(b"plain words"))
    raw = face.run(face.client.request("get", "user/balance?x=1"))
    assert raw.parse() == {"is_available": True}
    raw = face.run(face.client.request("POST", "/thing", json=["a", None], extra_headers={"x-a": "b"}))
    assert raw.text == "plain words"
    with pytest.raises(ProtocolError, match="plain words"):
        raw.parse()
    first, second = server.requests
    assert (first.method, first.target, first.body) == ("GET", "/v1/user/balance?x=1", b"")
    assert (second.method, second.json, second.headers["x-a"]) == ("POST", ["a", None], "b")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 415, 418, 422, 431])
def test_statuses_that_are_not_tried_again(server: RawServer, face: Face, status: int) -> None:
    server.will(answer(error_body("No, because.", param="model", code="c"), status, x_request_id="req-9"))
    with pytest.raises(error_for_status(status)) as caught:
        face.create()
    error = caught.value
    assert (error.status_code, error.message, error.param, error.code) == (
        status,
        "No, because.",
        "model",
        "c",
    )
    assert (error.error_type, error.request_id) == ("t", "req-9")
    assert error.body == error_body("No, because.", param="model", code="c")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 529])
def test_statuses_that_are_tried_again(server: RawServer, face: Face, status: int) -> None:
    bad = answer(error_body(), status)
    server.will(bad, bad, OK)
    assert face.create().choices[0].message.content == "Hello!"
    assert face.sleeps == [0.5, 1.0]  # half of 1 s, half of 2 s
    assert [request.json for request in server.requests] == [ASK] * 3


def test_the_last_failure_is_raised(server: RawServer, face: Face) -> None:
    server.will(
        answer(error_body("one"), 500), answer(error_body("two"), 503), answer(error_body("three"), 429)
    )
    with pytest.raises(RateLimitError, match="three"):
        face.create()
    assert len(server.requests) == 3


def test_no_retries_if_none_are_wanted(server: RawServer, way: str) -> None:
    server.will(answer(error_body(), 503))
    with opened_face(way, server.url, max_retries=0) as face, pytest.raises(UnavailableError):
        face.create()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "120"}, 120),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": formatdate(1_800_000_030, usegmt=True)}, 30),
        ({"retry_after": "soon"}, 0.5),
    ],
)
def test_retry_after_is_obeyed(server: RawServer, face: Face, headers: dict[str, str], wait: float) -> None:
    server.will(answer(error_body(), 429, **headers), OK)
    face.create()
    assert face.sleeps == [wait]


def test_too_long_a_retry_after_is_raised_at_once(server: RawServer, face: Face) -> None:
    server.will(answer(error_body(), 429, retry_after="121"))
    with pytest.raises(RateLimitError) as caught:
        face.create()
    assert caught.value.retry_after == 121
    assert len(server.requests) == 1


def test_the_retry_budget_is_the_clients(server: RawServer, face: Face) -> None:
    server.will(answer(error_body(), 503))
    for _ in range(12):
        with pytest.raises(UnavailableError):
            face.create()
    assert len(server.requests) == 12 + 12  # ten retries saved up, two paid for by the twelve calls
    with pytest.raises(UnavailableError) as caught:
        face.create()
    assert "retry budget" in caught.value.__notes__[0]


def test_the_total_time_ends_retries(server: RawServer, face: Face) -> None:
    server.will(answer(error_body(), 503, retry_after="8"))
    with pytest.raises(UnavailableError) as caught:
        face.create(timeout=Timeout(total=20))
    assert face.sleeps == [8, 8]
    assert len(server.requests) == 3
    with pytest.raises(UnavailableError) as caught:
        face.create(timeout=Timeout(total=5))
    assert "total time" in caught.value.__notes__[0]


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_a_connection_that_breaks_before_the_answer(server: RawServer, face: Face, fault: str) -> None:
    server.will(lambda peer: getattr(peer, fault)(), OK)
    assert face.create().choices[0].message.content == "Hello!"
    assert len(server.requests) == 2


def test_a_connection_that_always_breaks(server: RawServer, face: Face) -> None:
    server.will(lambda peer: peer.close())
    with pytest.raises(ApiConnectionError) as caught:
        face.create()
    assert f"127.0.0.1:{server.port}" in str(caught.value) or "closed the connection" in str(caught.value)
    assert len(server.requests) == 3


def test_an_answer_that_is_cut(server: RawServer, face: Face) -> None:
    def half(peer: Peer) -> None:
        peer.send(OK[:-10])
        peer.close()

    server.will(half, OK)
    assert face.create().choices[0].message.content == "Hello!"
    assert len(server.requests) == 2


def test_nobody_listens(way: str) -> None:
    with opened_face(way, "http://127.0.0.1:1/v1") as face:
        with pytest.raises(ApiConnectionError, match=r"Cannot connect to 127\.0\.0\.1:1.*base_url"):
            face.create()
        assert face.sleeps == [0.5, 1.0]


def test_an_unknown_host(way: str) -> None:
    with (
        opened_face(way, "http://no-such-host.invalid/v1", max_retries=0) as face,
        pytest.raises(ApiConnectionError, match=r"Cannot connect to no-such-host\.invalid:80"),
    ):
        face.create()


def test_silence_is_a_timeout(server: RawServer, face: Face) -> None:
    server.will(lambda peer: peer.wait_until_gone(), OK)
    assert face.create(timeout=Timeout(read=0.2)).choices[0].message.content == "Hello!"
    assert len(server.requests) == 2
    assert server.peers[0].gone.wait(2)


def test_silence_in_the_middle_is_a_timeout(server: RawServer, face: Face) -> None:
    def half(peer: Peer) -> None:
        peer.send(OK[:-10])
        peer.wait_until_gone()

    server.will(half)
    with pytest.raises(ApiTimeoutError, match=r"timeout="):
        face.create(timeout=Timeout(read=0.2))
    assert len(server.requests) == 3


def test_a_slow_answer_is_fine_as_long_as_something_comes(server: RawServer, face: Face) -> None:
    def drip(peer: Peer) -> None:
        for at in range(0, len(OK), 8):
            peer.send(OK[at : at + 8])
            peer.gone.wait(0.02)

    server.will(drip)
    assert face.create(timeout=Timeout(read=0.3)).choices[0].message.content == "Hello!"


def test_total_time_ends_an_answer_that_drips(server: RawServer, face: Face) -> None:
    def drip(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not peer.gone.wait(0.02):
            peer.send(b"\n")

    server.will(drip)
    with pytest.raises(ApiTimeoutError):
        face.create(timeout=Timeout(read=5, total=0.1))


def test_a_number_limits_all(server: RawServer, face: Face) -> None:
    server.will(lambda peer: peer.wait_until_gone())
    with pytest.raises(ApiTimeoutError):
        face.create(timeout=0.05)


@pytest.mark.parametrize("way", ["sync-direct", "async-direct"])
def test_a_server_that_answers_before_it_has_read_all(server: RawServer, face: Face) -> None:
    def refuse(peer: Peer) -> None:
        peer.send(answer(error_body("too large"), 413, connection="close"))
        peer.wait_until_gone()

    server.will(refuse)
    with pytest.raises(ApiError, match="too large"):
        face.create(messages=[{"role": "user", "content": "x" * 1_000_000}])


@pytest.mark.parametrize("way", ["sync-direct", "async-direct"])
def test_a_server_that_does_not_read(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with opened_face(way, url, max_retries=0) as face, pytest.raises(ApiTimeoutError):
            face.create(messages=[{"role": "user", "content": "x" * 20_000_000}], timeout=Timeout(read=0.1))


def test_a_closed_client_says_so(server: RawServer, face: Face) -> None:
    server.will(OK)
    face.create()
    face.close(face.client)
    face.close(face.client)
    for call in (face.create, face.open, lambda: face.run(face.client.models.list())):
        with pytest.raises(ConfigurationError, match="closed"):
            call()
    assert len(server.requests) == 1


def test_wrong_arguments_are_told_before_anything_is_sent(server: RawServer, face: Face) -> None:
    with pytest.raises(TypeError, match="temperature"):
        face.create(temprature=1)
    with pytest.raises(TypeError, match="messages"):
        face.create(messages=None)
    assert server.requests == []
