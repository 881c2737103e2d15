"""`kill -9` of any process, and full disks: what a client saw answered is in the usage table, once."""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, WireResponse
from abyssal.testing.processes import group_members
from abyssal.testing.received import ReceivedRequest
from abyssal.wire.errors import ProtocolError

from .calls import Gateway, body, upstream, usage_rows, wait_for

THREADS = 50


class Load:
    """Clients in closed loops, half of them streaming; remembers which calls were answered whole."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, args=[n]) for n in range(THREADS)]
        self.began_at = len(gateway.upstream.requests)
        self.answered: dict[str, float] = {}
        """Ids of calls that were read to their end, with the time of it."""
        self.refused: list[WireResponse] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_answers(self, count: int, timeout: float = 10.0) -> None:
        """Wait until `count` more calls were answered."""
        goal = len(self.answered) + count
        wait_for(lambda: len(self.answered) >= goal, f"{count} more answers", timeout)

    def heard_after(self, moment: float) -> bool:
        return max(self.answered.values()) > moment

    def _loop(self, number: int) -> None:
        content = body("open", stream=bool(number % 2))
        while not self._stop.is_set():
            try:
                self._talk(content)
            except (OSError, ProtocolError):
                time.sleep(0.02)  # the server is gone, or going

    def _talk(self, content: bytes) -> None:
        with self._gateway.connect(5.0) as connection:
            while not self._stop.is_set():
                connection.send(self._gateway.request(content))
                answer = connection.read_response()
                if answer.status == 200 and b'{"error"' not in answer.body:
                    self.answered[answer.header("x-request-id") or ""] = time.monotonic()
                else:
                    self.refused.append(answer)
                    time.sleep(0.02)


def answer_to(request: ReceivedRequest) -> Answer:
    """A stream takes a while, so that there are always some to cut."""
    if request.wants_stream:
        return Answer.chat_stream(["word "] * 8, every=0.02)
    return Answer.chat("word").delayed(0.002)


@pytest.fixture(scope="module")
def gateway_to_kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """What is killed cannot remove its temporary files: they go where this fixture removes them."""
    with (
        tempfile.TemporaryDirectory(prefix="abyssal-") as temporary,
        ScriptedUpstream(default=answer_to, keep=200_000) as scripted,
    ):
        config, data = upstream("open", scripted.base_url), tmp_path_factory.mktemp("crash") / "data"
        with RunningServer(config, data, environ={"TMPDIR": temporary}) as server:
            yield Gateway(server, scripted)


@pytest.fixture
def crashing(gateway_to_kill: Gateway) -> Gateway:
    """A gateway that will be killed; started again here if the case before left it dead."""
    process = gateway_to_kill.server.process
    if process is None or process.poll() is not None:
        gateway_to_kill.server.start()
    gateway_to_kill.upstream.default = answer_to
    return gateway_to_kill


def check_books(gateway: Gateway, load: Load) -> dict[str, dict[str, object]]:
    """Each answered call has its row, with what it used; each call that the upstream got has one too.

    Gives the rows of `load`.
    """
    requests = gateway.upstream.requests[load.began_at :]
    asked = {request.header("x-request-id") or "" for request in requests}
    rows = wait_for(
        lambda: rows if asked <= set(rows := gateway.usage()) else None, "a row of every call", timeout=10
    )
    for call_id in load.answered:
        row = rows[call_id]
        assert (row["status"], row["code"], row["estimated"]) == (200, "", 0), row
        assert row["completion_tokens"] > 0
    assert set(load.answered) <= asked
    assert len(asked) == len(requests)  # nothing was asked twice
    assert len(asked - set(load.answered)) <= 3 * THREADS
    return {call_id: rows[call_id] for call_id in asked}


def codes(rows: dict[str, dict[str, object]]) -> set[object]:
    return {row["code"] for row in rows.values()}


def test_a_killed_worker_loses_no_answer_and_is_replaced(crashing: Gateway) -> None:
    with Load(crashing) as load:
        load.wait_answers(300)
        for _ in range(2):
            (worker,) = crashing.worker_pids()
            os.kill(worker, signal.SIGKILL)
            killed_at = time.monotonic()
            load.wait_answers(1)
            wait_for(partial(load.heard_after, killed_at + 0.05), "an answer of the next worker", 4.0)
            load.wait_answers(200)
    assert crashing.worker_pids() != [worker]
    rows = check_books(crashing, load)
    assert codes(rows) <= {"", "worker_lost", "client_gone"}
    assert "worker_lost" in codes(rows)
    lost = [row for row in rows.values() if row["code"] == "worker_lost"]
    assert all(row["status"] == 500 for row in lost)
    assert crashing.metric("abyssal_calls_in_flight") == 0
    assert list((crashing.server.data / "journal").glob("*.seg"))  # the live worker's
    assert len(list((crashing.server.data / "journal").glob("*.seg"))) <= 2


def test_everything_killed_at_once_loses_no_answer(crashing: Gateway) -> None:
    with Load(crashing) as load:
        load.wait_answers(300)
        os.killpg(crashing.server.pid, signal.SIGKILL)
        time.sleep(0.1)
    crashing.server.process.wait()  # type: ignore[union-attr]
    crashing.server.start()
    assert codes(check_books(crashing, load)) <= {"", "worker_lost", "client_gone"}
    assert crashing.ask(body("open")).status == 200


def test_a_killed_control_process_takes_its_children_along_and_loses_no_answer(crashing: Gateway) -> None:
    server = crashing.server
    assert group_members(server.pid) == [server.pid, *server.child_pids()]
    with Load(crashing) as load:
        load.wait_answers(300)
        crashing.upstream.default = lambda request: answer_to(request).dripped(40, 0.01)
        time.sleep(0.3)
        server.kill()
        killed_at = time.monotonic()
        wait_for(lambda: not group_members(server.pid), "end of the children", timeout=20)
        assert load.heard_after(killed_at + 0.5)  # streams under way were finished
        assert {answer.status for answer in load.refused} <= {503}, load.refused[:3]
    server.start()
    check_books(crashing, load)


def test_a_start_beside_a_dying_predecessors_worker_loses_no_answer(crashing: Gateway) -> None:
    crashing.upstream.enqueue(Answer.chat_stream(["long "], every=0.05, repeat=100_000))
    with crashing.connect() as connection:
        connection.send(crashing.request(body("open", stream=True)))
        head = connection.read_until(b"\r\n\r\n").lower()
        call_id = head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
        crashing.server.kill()
        crashing.server.start()
        time.sleep(0.6)  # long enough for the new control process to look at the old journal
        crashing.upstream.disconnect()
        connection.read_until(b"upstream_closed")
    row = crashing.settled(call_id)
    assert (row["status"], row["code"]) == (502, "upstream_closed")
    assert row["completion_tokens"] > 10


def test_a_worker_that_starts_while_the_database_is_busy_is_not_taken_for_dead(crashing: Gateway) -> None:
    with closing(sqlite3.connect(crashing.server.data / "abyssal.db", isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        crashing.ask(body("open"))
        time.sleep(0.5)  # now the control process waits for the database
        scrape = threading.Thread(target=_ignored, args=[lambda: crashing.get("/metrics")])
        scrape.start()
        time.sleep(0.2)
        (worker,) = crashing.worker_pids()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: crashing.worker_pids() not in ([], [worker]), "the next worker")
        crashing.upstream.default = Answer.chat_stream(["long "] * 20, every=0.1)
        with crashing.connect() as connection:
            connection.send(crashing.request(body("open", stream=True)))
            head = connection.read_until(b"\r\n\r\n").lower()
            busy.execute("ROLLBACK")
            connection.read_until(b"data: [DONE]\n\n")
        crashing.upstream.default = answer_to
        scrape.join()
    row = crashing.settled(head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode())
    assert (row["status"], row["code"]) == (200, "")
    for _ in range(3):
        assert crashing.settlement(crashing.ask(body("open")))["status"] == 200


def _ignored(action: Callable[[], object]) -> None:
    """What cannot be answered, because the worker that was asked is killed."""
    with suppress(OSError, ProtocolError):
        action()


def test_calls_do_not_wait_for_a_busy_database(crashing: Gateway) -> None:
    with closing(sqlite3.connect(crashing.server.data / "abyssal.db", isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        answers = [crashing.ask(body("open")) for _ in range(50)]
        assert time.monotonic() - began < 2.0
        assert {answer.status for answer in answers} == {200}
        time.sleep(0.5)
        busy.execute("ROLLBACK")
    for answer in answers:
        assert crashing.settlement(answer)["status"] == 200


def test_remains_in_the_journal_are_no_reason_not_to_start(tmp_path: Path) -> None:
    journal = tmp_path / "data" / "journal"
    journal.mkdir(parents=True)
    (journal / "0123456789abw0-00000000.seg").write_bytes(b"")
    (journal / "0123456789abw1-00000000.seg").write_bytes(os.urandom(5000))
    (journal / "0123456789abw2-00000000.seg").write_bytes(bytes(5000))
    (journal / "notes.txt").write_text("not ours")
    with ScriptedUpstream() as scripted:
        with RunningServer(upstream("open", scripted.base_url), tmp_path / "data") as server:
            gateway = Gateway(server, scripted)
            assert gateway.settlement(gateway.ask(body("open")))["status"] == 200
        assert [path.name for path in journal.iterdir()] == ["notes.txt"]


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Callable[[], int]]:
    """A file system of `size` bytes at `path`; gives a function that tells what is free."""
    path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={size},mode=700".encode()
    if libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0, options) != 0:
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield lambda: os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    finally:
        libc.umount2(str(path).encode(), 2)  # MNT_DETACH


def test_a_full_disk_refuses_calls_and_is_got_over(tmp_path: Path) -> None:
    disk, name = tmp_path / "disk", "m" * 190  # a long name fills the journal in fewer calls
    with small_disk(disk, 24 * 1024 * 1024) as free, ScriptedUpstream() as scripted:
        with RunningServer(upstream(name, scripted.base_url), disk / "data") as server:
            gateway = Gateway(server, scripted)
            scripted.enqueue(Answer.chat_stream(["long "] * 20, every=0.1))
            with gateway.connect() as under_way:
                under_way.send(gateway.request(body(name, stream=True)))
                scripted.wait_requests(1)
                with (disk / "ballast").open("wb", buffering=0) as ballast:
                    _fill(ballast.write, free)
                    answered = _ask_until_refused(gateway, name)
                    asked = len(scripted.requests)
                    refused = gateway.ask(body(name, stream=True))
                    assert (refused.status, refused.json()["error"]["code"]) == (503, "journal_full")
                    assert int(refused.header("retry-after") or "") >= 1
                    assert len(scripted.requests) == asked
                    assert gateway.get("/healthz").status == 200
                    answered.append(under_way.read_response())
                    assert answered[-1].body.endswith(b"data: [DONE]\n\n")
            (disk / "ballast").unlink()
            wait_for(lambda: gateway.ask(body(name)).status == 200, "a call after space was freed", 10)
            assert gateway.settlement(answered[-1])["code"] == ""
            assert len(gateway.worker_pids()) == 1
            assert "Traceback" not in server.log()
        rows = usage_rows(disk / "data")
        assert {answer.header("x-request-id") for answer in answered} <= set(rows)


def _fill(write: Callable[[bytes], int | None], free: Callable[[], int]) -> None:
    for size in (1 << 20, 4096):
        try:
            while free() >= size:
                write(bytes(size))
        except OSError:
            pass  # another took the rest


def _ask_until_refused(gateway: Gateway, model: str) -> list[WireResponse]:
    """The answers until the journal's last segment is used up."""
    answers: list[WireResponse] = []
    content = gateway.request(body(model))
    with gateway.connect() as connection:
        while True:
            connection.send(content * 20)
            for _ in range(20):
                answer = connection.read_response()
                if answer.status != 200:
                    return answers
                answers.append(answer)
