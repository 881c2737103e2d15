"""A real server as a test sees it: started, stopped and checked, and honest about what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import (
    UPSTREAM_KEY,
    RawConnection,
    RunningServer,
    ScriptedUpstream,
    ServerFailedError,
    gateway_config,
)
from abyssal.testing.processes import descendants, group_members

BODY = b'{"model":"test-model","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


def call(server: RunningServer) -> int:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.api_key}\r\n"
    with RawConnection(server.url) as connection:
        connection.send(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        return connection.read_response().status


def left_of(server: RunningServer) -> list[int]:
    return group_members(server.pid)


def test_it_serves_and_stops_and_serves_again(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with RunningServer(gateway_config(upstream), tmp_path, workers=2) as server:
        assert call(server) == 200
        assert upstream.requests[-1].header("authorization") == f"Bearer {UPSTREAM_KEY}"
        assert upstream.requests[-1].json()["model"] == "upstream-model"
        children = server.child_pids()
        assert len(children) >= 2
        assert server.pid not in children
        assert server.url in server.log()
        first = server.pid
        assert server.stop() == 0
        assert left_of(server) == []
        server.start()
        assert server.pid != first
        assert call(server) == 200
    assert left_of(server) == []


def test_what_it_printed_is_in_the_error_when_it_dies_at_once(tmp_path: Path) -> None:
    server = RunningServer("[server]\nlisten_on = 1\n", tmp_path)
    with pytest.raises(ServerFailedError, match=r"(?s)ended with status 2 before.*server\.listen_on"):
        server.start()


def test_what_is_not_ready_in_time_is_ended(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    server = RunningServer(gateway_config(upstream), tmp_path, ready_within=0.0)
    with pytest.raises(ServerFailedError, match=r"not ready within 0\.0 s"):
        server.start()
    assert left_of(server) == []


def test_a_death_during_the_test_is_a_failure(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    def use() -> None:
        with RunningServer(gateway_config(upstream), tmp_path) as server:
            os.kill(server.pid, signal.SIGKILL)
            deadline = time.monotonic() + 5
            while group_members(server.pid) and time.monotonic() < deadline:
                time.sleep(0.01)

    with pytest.raises(ServerFailedError, match="ended with status -9 during the test"):
        use()


def test_a_crash_that_the_test_asks_for_is_none(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with RunningServer(gateway_config(upstream), tmp_path) as server:
        server.kill()
    assert left_of(server) == []


def test_the_tests_own_failure_is_the_one_to_show(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    server = RunningServer(gateway_config(upstream), tmp_path)
    with pytest.raises(LookupError), server:
        raise LookupError
    assert left_of(server) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux to look at an environment")
def test_nothing_leaks_in_from_the_environment(
    upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-someone's")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ABYSSAL_DATA", "/nowhere")
    with RunningServer(gateway_config(upstream), tmp_path, environ={"GIVEN": "yes"}) as server:
        entries = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in entries}
    assert not names & {b"DEEPSEEK_API_KEY", b"https_proxy", b"ABYSSAL_DATA"}
    assert b"GIVEN=yes" in entries


def test_it_must_be_started_to_be_asked(tmp_path: Path) -> None:
    server = RunningServer(None, tmp_path)
    for ask in (lambda: server.url, lambda: server.pid, server.stop, server.kill):
        with pytest.raises(RuntimeError, match="start"):
            ask()


def test_families_of_processes_are_found() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 10
        while not (children := descendants(parent.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(children) == 1
        assert group_members(parent.pid) == sorted([parent.pid, *children])
        assert parent.pid in descendants(os.getpid())
    finally:
        parent.communicate(b"\n")
    assert group_members(parent.pid) == []
