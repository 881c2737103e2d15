"""From start to stop: what is refused at once, what is finished, what is left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from abyssal.testing import UPSTREAM_KEY, Answer, RawConnection, RunningServer, ScriptedUpstream

from .calls import Gateway, body, commands, table, upstream, usage_rows, wait_for

READYZ = b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n"
FIVE = Answer.chat_stream(["one ", "two ", "three ", "four ", "five"], every=0.3)


@pytest.fixture
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


def begin_stream(gateway: Gateway, answer: Answer) -> RawConnection:
    """A stream whose first events have come."""
    gateway.upstream.enqueue(answer)
    connection = gateway.connect()
    connection.send(gateway.request(body("open", stream=True)))
    connection.read_until(b"\n\n")
    connection.read_until(b"\n\n")
    return connection


def call_ids(scripted: ScriptedUpstream) -> list[str]:
    return [request.header("x-request-id") or "" for request in scripted.requests]


def test_a_stop_lets_running_answers_finish_and_takes_no_others(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    with RunningServer(upstream("open", scripted.base_url), tmp_path, grace=20) as server:
        gateway = Gateway(server, scripted)
        node = server.process
        assert node is not None
        with gateway.connect() as idle, gateway.connect() as busy, begin_stream(gateway, FIVE) as stream:
            for connection in (idle, busy):
                connection.send(READYZ)
                assert connection.read_response().status == 200
            node.terminate()
            wait_for(lambda: _refused(gateway), "refusal of new connections", 2)
            idle.send(READYZ)
            ready = idle.read_response()
            assert (ready.status, ready.json()["status"]) == (503, "draining")
            assert ready.header("connection") == "close"
            busy.send(gateway.request(body("open")))
            refused = busy.read_response()
            assert (refused.status, refused.json()["error"]["code"]) == (503, "shutting_down")
            assert node.poll() is None
            rest = stream.read_until(b"0\r\n\r\n")
            assert b"five" in rest
            assert b"data: [DONE]\n\n" in rest
            assert stream.closed_by_server()
            assert node.wait(5) == 0
        row = usage_rows(tmp_path)[call_ids(scripted)[0]]
        assert (row["status"], row["estimated"]) == (200, 0)
    assert len(scripted.requests) == 1
    assert not (tmp_path / "node.json").exists()
    assert not list((tmp_path / "journal").iterdir())


def test_a_stop_does_not_cut_what_is_written_and_not_yet_read(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    sizes = (8_000_000, 500_000)
    with (
        RunningServer(upstream("open", scripted.base_url), tmp_path, grace=20) as server,
        ExitStack() as open_,
    ):
        gateway = Gateway(server, scripted)
        readers = []
        for size in sizes:
            scripted.enqueue(Answer.json({"id": "x", "pad": "x" * size, "choices": []}))
            reader = open_.enter_context(gateway.connect())
            reader._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            reader.send(gateway.request(body("open")))
            readers.append(reader)
        scripted.wait_requests(2)
        time.sleep(0.3)
        assert server.process is not None
        server.process.terminate()
        time.sleep(0.5)
        for reader, size in zip(readers, sizes, strict=True):
            assert len(reader.read_response().json()["pad"]) == size
        assert server.process.wait(10) == 0
    assert [row["status"] for row in usage_rows(tmp_path).values()] == [200, 200]


def test_an_answer_that_outlasts_the_grace_is_cut_and_counted(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    with RunningServer(upstream("open", scripted.base_url), tmp_path, grace=0.5) as server:
        gateway = Gateway(server, scripted)
        endless = Answer.chat_stream(["x"] * 10_000, every=0.02)
        with begin_stream(gateway, endless) as stream:
            began = time.monotonic()
            assert server.process is not None
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(5) == 0
            assert time.monotonic() - began > 0.4
            stream.read_all()
        scripted.requests[0].wait_closed()
    row = usage_rows(tmp_path)[call_ids(scripted)[0]]
    assert row["status"] in (499, 503)
    assert row["completion_tokens"] > 0


def test_the_first_key_is_made_and_kept_for_its_owner_alone(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    config = upstream("open", scripted.base_url)
    data = tmp_path / "deep" / "data"
    with RunningServer(config, data, environ={"ABYSSAL_API_KEY": ""}) as server:
        key = (data / "first-key").read_text().strip()
        assert server.log().count(key) == 1
        gateway = Gateway(server, scripted)
        assert gateway.ask(body("open"), key=key).status == 200
        for name in ("first-key", "abyssal.db", "lock"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((data / "journal").stat().st_mode) == 0o700
    assert len(usage_rows(data)) == 1
    with RunningServer(config, data, environ={"ABYSSAL_API_KEY": ""}) as server:  # a second start
        assert key not in server.log()
        assert Gateway(server, scripted).ask(body("open"), key=key).status == 200
    assert len(usage_rows(data)) == 2
    for file in ("abyssal.db", "abyssal.db-wal"):
        assert not (data / file).exists() or key.encode() not in (data / file).read_bytes()
    assert key not in str(scripted.requests[0].headers)


def test_two_workers_share_the_work_and_stop_cleanly(tmp_path: Path, scripted: ScriptedUpstream) -> None:
    with RunningServer(upstream("open", scripted.base_url), tmp_path, workers=2) as server:
        gateway = Gateway(server, scripted)
        assert len(gateway.worker_pids()) == 2

        def talk(_: int) -> set[str]:
            answers = [gateway.ask(body("open")) for _ in range(20)]
            assert {answer.status for answer in answers} == {200}
            return {answer.header("x-request-id") or "" for answer in answers}

        with ThreadPoolExecutor(20) as pool:
            ids = set.union(*pool.map(talk, range(20)))
        assert len(ids) == 400
        assert len({call_id.partition("-")[0] for call_id in ids}) == 2
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        assert [gateway.ask(body("open")).status for _ in range(20)] == [200] * 20
        wait_for(lambda: len(gateway.worker_pids()) == 2, "the next worker")
    assert ids <= set(usage_rows(tmp_path))


def test_a_stop_while_a_worker_is_being_replaced_is_a_stop(
    tmp_path: Path, scripted: ScriptedUpstream
) -> None:
    with RunningServer(upstream("open", scripted.base_url), tmp_path, grace=1) as server:
        (worker,) = Gateway(server, scripted).worker_pids()
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.25)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 4


# --- starts that come to nothing ----------------------------------------------------------------------


def start(
    tmp_path: Path, *arguments: str, environ: dict[str, str] | None = None, listen: str = "127.0.0.1:0"
) -> subprocess.CompletedProcess[str]:
    """`abyssal serve` that is expected to end by itself, with a temporary directory of its own."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("ABYSSAL", "DEEPSEEK"))}
    command = [sys.executable, "-m", "abyssal", "serve", "--listen", listen, *arguments]
    if "--data" not in arguments:
        command += ["--data", str(tmp_path / "data")]
    environ = keep | {"TMPDIR": str(temporary)} | (environ or {})
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)


def check_refused(result: subprocess.CompletedProcess[str], tmp_path: Path, *said: str) -> None:
    """Exit status 2, one sentence that says what to do, and nothing left behind."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("abyssal: ")
    for part in said:
        assert part in result.stderr
    assert not list((tmp_path / "tmp").iterdir())
    assert not [line for line in commands().values() if str(tmp_path) in line and "abyssal" in line]


def test_an_address_in_the_environment_that_is_none(tmp_path: Path) -> None:
    result = start(tmp_path, environ={"ABYSSAL_REDIS_URL": "http://:hunter2@cache.test"})
    check_refused(result, tmp_path, "ABYSSAL_REDIS_URL", "redis://host:6379/0")
    assert "hunter2" not in result.stderr


# One of each kind; the configuration's own tests have the others.
BAD_CONFIGS = {
    "unknown key": ('[server]\nlistn = "127.0.0.1:0"', ["server.listn", 'did you mean "listen"?']),
    "no such upstream": (
        table("[[models]]", name="a")
        + 'targets = [{ upstream = "opn" }]\n'
        + upstream("open", "http://127.0.0.1:1"),
        ["models[0].targets[0].upstream", 'did you mean "open"?'],
    ),
    "no authority file": (upstream("open", "https://127.0.0.1:1", ca_file="/nowhere/ca.pem"), ["ca.pem"]),
    "no key in the environment": (
        upstream("open", "http://127.0.0.1:1").replace(f'"{UPSTREAM_KEY}"', '{ env = "NOT_THERE" }'),
        ["upstreams[0].api_key", "NOT_THERE"],
    ),
    "no such model file": (
        table("[[upstreams]]", name="e", kind="engine", model="/nowhere/x.gguf")
        + table("[[models]]", name="a")
        + 'targets = [{ upstream = "e" }]\n',
        ["upstreams[0].model", "/nowhere/x.gguf"],
    ),
}


@pytest.mark.parametrize(("config", "said"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_bad_configuration_starts_nothing(tmp_path: Path, config: str, said: list[str]) -> None:
    path = tmp_path / "abyssal.toml"
    path.write_text(config)
    check_refused(start(tmp_path, "--config", str(path)), tmp_path, *said)
    assert not (tmp_path / "data").exists()


def test_a_missing_configuration_starts_nothing(tmp_path: Path) -> None:
    result = start(tmp_path, "--config", str(tmp_path / "none.toml"))
    check_refused(result, tmp_path, "none.toml")


@pytest.mark.parametrize("key", ["short", "sk-with spaces in it 0123456789"])
def test_a_bad_first_key_starts_nothing(tmp_path: Path, key: str) -> None:
    result = start(tmp_path, environ={"ABYSSAL_API_KEY": key})
    check_refused(result, tmp_path, "ABYSSAL_API_KEY")
    assert key not in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_starts_nothing(tmp_path: Path, config_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = start(tmp_path, "--config", str(config_file), listen=address)
    check_refused(result, tmp_path, address, "--listen")


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "nowhere.invalid:0"])
def test_an_address_that_is_none_of_ours_starts_nothing(
    tmp_path: Path, config_file: Path, listen: str
) -> None:
    check_refused(start(tmp_path, "--config", str(config_file), listen=listen), tmp_path, listen)


@pytest.mark.parametrize("data", ["/dev/null/data"])
def test_a_data_directory_that_cannot_be_starts_nothing(tmp_path: Path, config_file: Path, data: str) -> None:
    check_refused(start(tmp_path, "--config", str(config_file), "--data", data), tmp_path, data, "--data")


def test_a_broken_database_starts_nothing(tmp_path: Path, config_file: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "abyssal.db").write_text("this is not a database, and long enough to be looked at" * 100)
    check_refused(start(tmp_path, "--config", str(config_file)), tmp_path, "abyssal.db")


def test_two_servers_do_not_share_a_data_directory(
    tmp_path: Path, scripted: ScriptedUpstream, config_file: Path
) -> None:
    data = tmp_path / "data"
    with RunningServer(upstream("open", scripted.base_url), data) as server:
        node = (data / "node.json").read_bytes()
        result = start(tmp_path, "--config", str(config_file))
        assert result.returncode == 2
        assert "another abyssal is using this data directory" in result.stderr
        assert (data / "node.json").read_bytes() == node
        gateway = Gateway(server, scripted)
        assert gateway.settlement(gateway.ask(body("open")))["status"] == 200


@pytest.mark.parametrize("wait", [0.4, 0.8])
def test_a_stop_during_the_start_is_a_stop(tmp_path: Path, config_file: Path, wait: float) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "abyssal", "serve", "--listen", "127.0.0.1:0"]
    command += ["--data", str(tmp_path / "data"), "--config", str(config_file)]
    with subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(wait)
        process.terminate()
        _, problems = process.communicate(timeout=10)
    assert process.returncode in (0, -signal.SIGTERM)  # the latter before it is listened for
    assert b"Traceback" not in problems
    if process.returncode == 0:
        assert not list(temporary.iterdir())
    assert not [line for line in commands().values() if str(tmp_path) in line and "abyssal" in line]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration with nothing wrong."""
    path = tmp_path / "abyssal.toml"
    path.write_text(upstream("open", "http://127.0.0.1:1"))
    return path


def _refused(gateway: Gateway) -> bool:
    try:
        gateway.connect().close()
    except ConnectionRefusedError:
        return True
    return False
