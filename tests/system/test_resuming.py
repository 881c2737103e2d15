"""Clients that lose their connection in the middle of an answer, before two real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import SHUT_RDWR, SO_RCVBUF, SOL_SOCKET
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from abyssal.testing import (
    Answer,
    RawConnection,
    RunningServer,
    ScriptedUpstream,
    WireResponse,
    gateway_config,
)

from .calls import Gateway, usage_rows, wait_for
from .identities import Identities

CHAT = "/v1/chat/completions"
SAID = json.dumps({"model": "open", "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
WORDS = [f"{number} " for number in range(20)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = gateway_config(upstream, models=("open",))
    with RunningServer(config, tmp_path_factory.mktemp("resuming"), workers=2) as server:
        yield Gateway(server, upstream)
        assert "Traceback" not in server.log(), server.log()


def workers(gateway: Gateway) -> list[int]:
    """The workers' processes, in the order of their places."""
    return json.loads((gateway.server.data / "node.json").read_text())["workers"]


@contextmanager
def only(gateway: Gateway, place: int) -> Iterator[None]:
    """New connections reach the worker at `place` alone: the other one stands still meanwhile."""
    other = workers(gateway)[1 - place]
    os.kill(other, signal.SIGSTOP)
    try:
        wait_for(lambda: Path(f"/proc/{other}/stat").read_text().rpartition(") ")[2][0] == "T", "standstill")
        yield
    finally:
        os.kill(other, signal.SIGCONT)


def at(gateway: Gateway, place: int) -> RawConnection:
    """A connection to the worker at `place`."""
    with only(gateway, place):
        connection = gateway.connect()
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert connection.read_response().status == 200
    return connection


def request(gateway: Gateway, *headers: str, method: str = "POST", body: bytes = b"", key: str = "") -> bytes:
    lines = [
        f"{method} {CHAT} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key or gateway.server.api_key}",
    ]
    return "\r\n".join([*lines, *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def begin(gateway: Gateway, connection: RawConnection, answer: Answer) -> bytes:
    """Ask for a resumable stream, and read up to its second event."""
    gateway.upstream.enqueue(answer)
    connection.send(request(gateway, "x-abyssal-resumable: 1", body=SAID))
    return b"".join(connection.read_until(b"\n\n") for _ in range(2))


def resume(
    gateway: Gateway, connection: RawConnection, event_id: str, method: str = "GET", key: str = ""
) -> WireResponse:
    connection.send(request(gateway, f"Last-Event-ID: {event_id}", method=method, key=key))
    return connection.read_response()


def event_ids(data: bytes) -> list[str]:
    return [line[4:].decode() for line in data.split(b"\n") if line.startswith(b"id: ")]


def text(data: bytes) -> str:
    """The content of all chunks in `data`, chunked framing or not."""
    chunks = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def stream(every: float = 0.02, words: list[str] = WORDS) -> Answer:
    return Answer.chat_stream(words, every=every, usage=USAGE)


@pytest.mark.parametrize("began", [0, 1])
@pytest.mark.parametrize("resumed", [0, 1])
def test_on_whichever_worker(gateway: Gateway, began: int, resumed: int) -> None:
    with at(gateway, began) as first, at(gateway, resumed) as second:
        read = begin(gateway, first, stream())
        event_id = event_ids(read)[-1]
        assert event_id.startswith(f"{began}.")
        first.reset()
        answer = resume(gateway, second, event_id)
        assert answer.status == 200
        assert answer.header("x-abyssal-event-id") == event_id
        assert text(read + answer.body) == "".join(WORDS)
        assert [int(found.rpartition(".")[2]) for found in event_ids(read + answer.body)] == list(
            range(1, len(event_ids(read + answer.body)) + 1)
        )
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert resume(gateway, second, event_id).body == answer.body
    row = gateway.settled(answer_id(read))
    assert (row["status"], row["code"], row["completion_tokens"]) == (200, "", 4)


def answer_id(read: bytes) -> str:
    (line,) = [line for line in read.split(b"\r\n") if line.startswith(b"x-request-id: ")]
    return line[14:].decode()


@pytest.mark.parametrize("place", [0, 1])
def test_a_client_that_is_killed(gateway: Gateway, place: int, tmp_path: Path) -> None:
    """It writes each event to a file; its successor goes on after the last whole one."""
    code = (
        "import http.client, sys\n"
        "host, key, body, path = sys.argv[1:]\n"
        "connection = http.client.HTTPConnection(host, timeout=30)\n"
        "headers = {'Authorization': 'Bearer ' + key, 'x-abyssal-resumable': '1'}\n"
        f"connection.request('POST', '{CHAT}', body, headers)\n"
        "answer = connection.getresponse()\n"
        "with open(path, 'ab', buffering=0) as file:\n"
        "    while line := answer.readline():\n"
        "        file.write(line)\n"
    )
    path = tmp_path / "read"
    path.touch()
    gateway.upstream.enqueue(stream(0.05))
    host = gateway.server.url.partition("://")[2]
    with only(gateway, place):
        client = subprocess.Popen(
            [sys.executable, "-c", code, host, gateway.server.api_key, SAID.decode(), str(path)]
        )
        wait_for(lambda: len(event_ids(path.read_bytes())) >= 5, "events")
    client.kill()
    client.wait()
    read = path.read_bytes()
    whole = read[: read.rindex(b"\n\n") + 2]
    with at(gateway, 1 - place) as connection:
        answer = resume(gateway, connection, event_ids(whole)[-1])
    assert text(whole + answer.body) == "".join(WORDS)


def test_a_worker_that_takes_over_ends_the_other_s_connection(gateway: Gateway) -> None:
    with at(gateway, 0) as old, at(gateway, 1) as new, at(gateway, 1) as newest:
        event_id = event_ids(begin(gateway, old, stream(0.05)))[-1]
        new.send(request(gateway, f"Last-Event-ID: {event_id}", method="GET"))
        assert new.read_until(b"\n\n").startswith(b"HTTP/1.1 200 ")
        assert not old.read_all().endswith(b"0\r\n\r\n")
        answer = resume(gateway, newest, event_id)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert not new.read_all().endswith(b"0\r\n\r\n")


def test_nobody_else_s(gateway: Gateway) -> None:
    stranger = Identities(gateway.server)
    project = stranger.create("projects")
    key = stranger.create("keys", project=project["id"])["secret"]
    with at(gateway, 0) as first, at(gateway, 0) as same, at(gateway, 1) as other:
        event_id = event_ids(begin(gateway, first, stream(0.05)))[-1]
        unknown = event_id[:3] + ("A" if event_id[3] != "A" else "B") + event_id[4:]
        told: set[tuple[Any, ...]] = set()
        for connection in (same, other):
            for value in (event_id, unknown, "1" + unknown[1:], "7" + unknown[1:], "x"):
                answer = resume(gateway, connection, value, key=key)
                names = [name for name, _ in answer.headers]
                told.add((answer.status, answer.body, *names))
        assert len(told) == 1
        assert next(iter(told))[0] == 404
        assert resume(gateway, other, event_id, method="DELETE", key=key).status == 200
        assert resume(gateway, other, event_id).status == 200


@pytest.mark.parametrize("place", [0, 1])
def test_delete_stops_the_upstream(gateway: Gateway, place: int) -> None:
    with at(gateway, 0) as first, at(gateway, place) as second:
        event_id = event_ids(begin(gateway, first, stream(0.05, ["x"] * 1000)))[-1]
        first.close()
        upstream_request = gateway.upstream.requests[-1]
        assert resume(gateway, second, event_id, "DELETE").json()["deleted"] is True
        assert upstream_request.closed_by_peer.wait(5)
        assert resume(gateway, second, event_id).status == 404


def test_much_to_catch_up_with_on_the_other_worker(gateway: Gateway) -> None:
    words = [f"{number} " + "x" * 1500 for number in range(150)]
    with at(gateway, 0) as first, at(gateway, 1) as second:
        read = begin(gateway, first, stream(0.0, words))
        event_id = event_ids(read)[1]
        first.reset()  # with much of the rest unread
        answer = resume(gateway, second, event_id)
        assert text(read + answer.body).endswith(words[-1])
        numbers = [int(found.rpartition(".")[2]) for found in event_ids(answer.body)]
        assert numbers == list(range(3, numbers[-1] + 1))


@pytest.mark.parametrize("size", [3000, 200])
def test_what_the_kernel_took_and_the_client_never_read_is_still_there(gateway: Gateway, size: int) -> None:
    words = [f"{number} " + "y" * size for number in range(900_000 // size)]
    with at(gateway, 0) as first, at(gateway, 0) as second:
        # The client's own side of the kernel as it usually is, whatever this machine has been told.
        first._socket.setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        read = begin(gateway, first, stream(0.0, words))
        time.sleep(0.5)  # in which as much is sent as anybody takes
        first.reset()
        answer = resume(gateway, second, event_ids(read)[-1])
        assert text(read + answer.body) == "".join(words)


def test_clients_that_know_nothing_of_ids_read_on(gateway: Gateway) -> None:
    openai = pytest.importorskip("openai")
    gateway.upstream.enqueue(stream(0.0))
    headers = {"x-abyssal-resumable": "1"}
    with openai.OpenAI(base_url=gateway.server.base_url, api_key=gateway.server.api_key) as client:
        messages = [{"role": "user", "content": "hi"}]
        chunks = client.chat.completions.create(
            model="open", messages=messages, stream=True, extra_headers=headers
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "".join(WORDS)


# WebSocket


@contextmanager
def socket(gateway: Gateway, place: int) -> Iterator[ClientConnection]:
    """A socket to the worker at `place`."""
    address = gateway.server.url.replace("http", "ws", 1) + "/v1/stream"
    with ExitStack() as left:
        with only(gateway, place):
            headers = {"Authorization": f"Bearer {gateway.server.api_key}"}
            client = left.enter_context(connect(address, additional_headers=headers))
        yield client


def hear(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=10))


@pytest.mark.parametrize("resumed", [0, 1])
def test_over_websocket_on_whichever_worker(gateway: Gateway, resumed: int) -> None:
    gateway.upstream.enqueue(stream())
    with socket(gateway, 0) as first:
        first.send(json.dumps({"type": "init", "model": "open", "prompt": "hi", "resumable": True}))
        heard = [hear(first) for _ in range(3)]
        first.socket.shutdown(SHUT_RDWR)
    with socket(gateway, resumed) as second:
        second.send(json.dumps({"type": "resume", "last_event_id": heard[-1]["event_id"]}))
        while heard[-1]["type"] != "complete":
            heard.append(hear(second))
        assert "".join(message.get("content", "") for message in heard) == "".join(WORDS)
        assert [int(message["event_id"].rpartition(".")[2]) for message in heard] == list(
            range(1, len(heard) + 1)
        )
        gateway.upstream.enqueue(Answer.chat_stream(["next"]))
        second.send(json.dumps({"type": "init", "model": "open", "prompt": "hi"}))
        assert hear(second)["content"] == "next"


def test_cancel_on_the_other_worker_stops_the_upstream(gateway: Gateway) -> None:
    gateway.upstream.enqueue(stream(0.05, ["x"] * 1000))
    with socket(gateway, 0) as first:
        first.send(json.dumps({"type": "init", "model": "open", "prompt": "hi", "resumable": True}))
        event_id = hear(first)["event_id"]
    asked = gateway.upstream.requests[-1]
    with socket(gateway, 1) as second:
        second.send(json.dumps({"type": "resume", "last_event_id": event_id}))
        assert hear(second)["content"] == "x"
        second.send(json.dumps({"type": "cancel"}))
        while hear(second)["type"] != "cancelled":
            pass
        assert asked.closed_by_peer.wait(5)
        second.send(json.dumps({"type": "resume", "last_event_id": event_id}))
        assert hear(second)["error"]["code"] == "stream_not_found"


def test_a_socket_that_is_taken_over_by_another_worker_is_told(gateway: Gateway) -> None:
    gateway.upstream.enqueue(stream(0.1))
    with socket(gateway, 0) as first, socket(gateway, 1) as second, socket(gateway, 1) as new:
        first.send(json.dumps({"type": "init", "model": "open", "prompt": "hi", "resumable": True}))
        event_id = hear(first)["event_id"]
        for old, other in ((first, second), (second, new)):
            other.send(json.dumps({"type": "resume", "last_event_id": event_id}))
            last = hear(old)
            while last["type"] != "error":
                last = hear(old)
            assert last["error"]["code"] == "stream_taken_over"
        heard = [hear(new)]
        while heard[-1]["type"] != "complete":
            heard.append(hear(new))
        assert "".join(message.get("content", "") for message in heard) == "".join(WORDS[1:])


# What ends a stream


def test_a_worker_that_is_killed_takes_its_streams_with_it(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    with RunningServer(gateway_config(upstream, models=("open",)), tmp_path, workers=2) as server:
        gateway = Gateway(server, upstream)
        with at(gateway, 0) as first, at(gateway, 1) as other, at(gateway, 1) as reader:
            event_id = event_ids(begin(gateway, first, stream(0.05, ["x"] * 1000)))[-1]
            reader.send(request(gateway, f"Last-Event-ID: {event_id}", method="GET"))
            reader.read_until(b"\n\n")
            os.kill(workers(gateway)[0], signal.SIGKILL)
            assert not reader.read_all().endswith(b"0\r\n\r\n")
            assert resume(gateway, other, event_id).status == 404
            with at(gateway, 0) as second:  # its successor at the same place
                assert resume(gateway, second, event_id).status == 404
                assert resume(gateway, other, event_id).status == 404
                later = event_ids(begin(gateway, second, stream()))[-1]
                assert later.startswith("0.")
                assert resume(gateway, other, later).status == 200


def test_a_server_that_stops_does_not_wait_for_what_nobody_reads(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    with RunningServer(gateway_config(upstream, models=("open",)), tmp_path, grace=30.0) as server:
        gateway = Gateway(server, upstream)
        with gateway.connect() as left, gateway.connect() as read:
            begin(gateway, left, stream(0.05, ["x"] * 1000))
            left.reset()
            begin(gateway, read, stream(0.05))
            began = time.monotonic()
            assert server.process is not None
            server.process.terminate()
            assert b"data: [DONE]\n\n" in read.read_all()
        assert server.stop() == 0
        assert time.monotonic() - began < 15.0
    assert sorted(row["status"] for row in usage_rows(tmp_path).values()) == [200, 499]
