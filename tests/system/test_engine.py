"""The real engine in its own process: it starts, answers, survives what is done to it, and leaves nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abyssal.engine.bundled import BUNDLED_MODEL, bundled_path
from abyssal.engine.lifecycle import Rules, State
from abyssal.engine.spec import EngineExit, EngineSpec
from abyssal.engine.supervisor import EngineSupervisor

PATIENCE = 30.0
STANDALONE = (sys.executable, "-c", "import typer; from abyssal.cli.engine import engine; typer.run(engine)")
HELLO = [{"role": "user", "content": "Hello"}]


class UnixConnection(http.client.HTTPConnection):
    """`http.client` over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def chat(connection: http.client.HTTPConnection, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"messages": HELLO, "max_tokens": 8, **fields})
    connection.request("POST", "/v1/chat/completions", body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def answers(path: Path) -> bool:
    connection = UnixConnection(str(path))
    try:
        return bool(chat(connection)["choices"])
    finally:
        connection.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="abyssal-") as made:
        yield Path(made)


def supervisor(directory: Path, model: str = BUNDLED_MODEL, rules: Rules | None = None) -> EngineSupervisor:
    spec = EngineSpec(name="tiny", model=model, socket=str(directory / "e.sock"), context=1024, slots=2)
    return EngineSupervisor(spec, rules=rules)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int) -> bool:
    """Whether the process ends within the patience. A dead one that nobody has waited for yet has no
    command line any more."""
    command_line = Path(f"/proc/{pid}/cmdline")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not exists(pid) or (command_line.exists() and not command_line.read_bytes()):
            return True
        time.sleep(0.01)
    return False


def test_it_starts_answers_restarts_and_leaves_nothing(directory: Path) -> None:
    engine = supervisor(directory)
    path = directory / "e.sock"

    async def main() -> list[int]:
        pids: list[int] = []
        await engine.start()
        for _ in range(2):
            assert await engine.wait_ready(PATIENCE)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert await asyncio.to_thread(answers, path)
            pid = engine.statistics().pid
            assert pid is not None
            pids.append(pid)
            os.kill(pid, signal.SIGKILL)
            while engine.ready:
                await asyncio.sleep(0.01)
        assert await engine.wait_ready(PATIENCE)
        assert engine.statistics().restarts == 2
        assert "SIGKILL" in engine.statistics().reason
        await engine.aclose()
        return pids

    pids = asyncio.run(main())
    assert len(set(pids)) == 2
    assert not any(map(exists, pids))
    assert not path.exists()


def test_it_ends_at_once_even_while_it_writes(directory: Path) -> None:
    engine = supervisor(directory)

    async def main() -> float:
        await engine.start()
        assert await engine.wait_ready(PATIENCE)
        connection = UnixConnection(str(directory / "e.sock"))
        body = json.dumps({"messages": HELLO, "stream": True, "ignore_eos": True})
        await asyncio.to_thread(connection.request, "POST", "/v1/chat/completions", body)
        response = await asyncio.to_thread(connection.getresponse)
        before = time.monotonic()
        await engine.aclose()
        took = time.monotonic() - before
        response.close()
        connection.close()
        return took

    assert asyncio.run(main()) < 1.5  # a kill after the grace would take 2 s


def test_a_file_that_is_put_right_is_loaded(directory: Path) -> None:
    model = directory / "m.gguf"
    whole = bundled_path().read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    engine = supervisor(directory, str(model), Rules(failed_wait=0.2))

    async def main() -> None:
        await engine.start()
        async with asyncio.timeout(PATIENCE):
            while engine.statistics().state is not State.FAILED:
                await asyncio.sleep(0.01)
        reason = engine.statistics().reason
        assert str(model) in reason
        assert "not within the file bounds" in reason
        await asyncio.to_thread(shutil.copyfile, bundled_path(), model)
        assert await engine.wait_ready(PATIENCE)
        assert await asyncio.to_thread(answers, directory / "e.sock")
        await engine.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"not a model at all", "is not a GGUF file"), (b"", "is not a GGUF file")],
)
def test_a_file_that_cannot_work_is_failed_with_the_reason(
    directory: Path, content: bytes | None, said: str
) -> None:
    model = directory / "m.gguf"
    if content is not None:
        model.write_bytes(content)
    engine = supervisor(directory, str(model))

    async def main() -> None:
        await engine.start()
        async with asyncio.timeout(PATIENCE):
            while engine.statistics().state is not State.FAILED:
                await asyncio.sleep(0.01)
        assert said in engine.statistics().reason
        await engine.aclose()

    asyncio.run(main())
    assert not (directory / "e.sock").exists()


def test_its_parents_end_is_its_end(directory: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from abyssal.engine.supervisor import EngineSupervisor\n"
        "from abyssal.engine.spec import EngineSpec\n"
        "async def main():\n"
        "    engine = EngineSupervisor(EngineSpec(name='m', model='abyssal-tiny', socket=sys.argv[1]))\n"
        "    await engine.start()\n"
        "    await engine.wait_ready(30)\n"
        "    print(engine.statistics().pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    arguments = [sys.executable, "-c", program, str(directory / "e.sock")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)


def test_ctrl_c_is_the_parents_affair(directory: Path) -> None:
    engine = supervisor(directory)

    async def main() -> None:
        await engine.start()
        assert await engine.wait_ready(PATIENCE)
        pid = engine.statistics().pid
        assert pid is not None
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        assert await asyncio.to_thread(answers, directory / "e.sock")
        assert engine.statistics().restarts == 0
        await engine.aclose()

    asyncio.run(main())


def test_alone_it_says_where_it_answers_and_ctrl_c_ends_it() -> None:
    arguments = [*STANDALONE, "--listen", "127.0.0.1:0", "--slots", "1", "--context", "512"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        first = engine.stdout.readline()
        assert first.startswith("abyssal-tiny answers at http://127.0.0.1:")
        assert "demonstration model" in engine.stdout.readline()
        host_and_port = first.split()[3].removeprefix("http://").removesuffix("/v1,")
        connection = http.client.HTTPConnection(host_and_port, timeout=PATIENCE)
        assert chat(connection)["model"] == "abyssal-tiny"
        connection.close()
        engine.send_signal(signal.SIGINT)
        assert engine.wait(PATIENCE) == EngineExit.OK


def test_alone_on_a_socket_after_a_killed_one(directory: Path) -> None:
    path = directory / "e.sock"
    arguments = [*STANDALONE, "--socket", str(path), "--slots", "1"]
    for end in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as engine:
            assert engine.stdout is not None
            assert f"unix://{path}" in engine.stdout.readline()
            assert answers(path)
            engine.send_signal(end)
        assert path.exists() == (end is signal.SIGKILL)
    assert engine.returncode == EngineExit.OK


def test_alone_and_in_vain(directory: Path) -> None:
    for arguments, code, said in (
        (["--model", str(directory / "no.gguf")], EngineExit.NO_MODEL, "does not exist"),
        (["--socket", str(directory / "no" / "e.sock")], EngineExit.NO_ADDRESS, "cannot listen"),
        (["--context", "1"], 2, "context is 1"),
        (["--socket", str(directory / "e.socket")], 2, "must end in .sock"),
    ):
        ended = subprocess.run([*STANDALONE, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == code
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.stdout == ""
