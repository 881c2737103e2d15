"""The supervisor against a program that dies, hangs and refuses on command (`fake_engine.py`)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from abyssal.engine.lifecycle import Rules, State
from abyssal.engine.spec import EngineSpec
from abyssal.engine.supervisor import EngineStatistics, EngineSupervisor
from abyssal.testing import ManualClock
from abyssal.wire.errors import ConfigurationError

COMMAND = (sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_engine.py")))
QUICK = Rules(
    first_wait=0.02,
    longest_wait=0.1,
    failed_wait=0.05,
    start_patience=30,
    check_interval=0.02,
    check_timeout=5,
    stop_grace=0.3,
)
IMPATIENT = msgspec.structs.replace(QUICK, check_timeout=0.2, missed_checks=2)
PATIENCE = 20.0


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:  # pytest's own paths can be too long
        yield Path(directory) / "e.sock"


class Watched:
    """A supervisor whose changes are kept."""

    def __init__(
        self, path: Path, behaviour: str, rules: Rules = QUICK, command: tuple[str, ...] = COMMAND
    ) -> None:
        self.path = path
        self.changes: list[EngineStatistics] = []
        spec = EngineSpec(name="m", model=behaviour, socket=str(path))
        self.supervisor = EngineSupervisor(spec, rules=rules, command=command, on_change=self.changes.append)

    def states(self) -> list[State]:
        return [change.state for change in self.changes]

    async def seen(self, what: Callable[[EngineStatistics], bool]) -> EngineStatistics:
        async with asyncio.timeout(PATIENCE):
            while not any(map(what, self.changes)):
                await asyncio.sleep(0.005)
        return next(filter(what, self.changes))

    def pids(self) -> list[int]:
        return [int(line) for line in Path(f"{self.path}.pids").read_text().split()]

    def alive(self) -> list[int]:
        return [pid for pid in self.pids() if exists(pid)]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run(watched: Watched, scenario: Callable[[EngineSupervisor], Awaitable[None]]) -> None:
    async def main() -> None:
        await watched.supervisor.start()
        try:
            await scenario(watched.supervisor)
        finally:
            await watched.supervisor.aclose()
        await asyncio.sleep(0)  # the last change is told by way of the loop

    asyncio.run(main())


def test_it_starts_serves_and_leaves_nothing_behind(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve")

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert not supervisor.ready
        assert await supervisor.wait_ready(PATIENCE)
        assert supervisor.ready
        now = supervisor.statistics()
        assert (now.name, now.state, now.restarts, now.reason) == ("m", State.READY, 0, "")
        assert now.pid == watched.pids()[0]

    run(watched, scenario)
    assert watched.states() == [State.STARTING, State.READY, State.STOPPED]
    assert watched.changes[-1].pid is None
    assert watched.alive() == []
    assert not socket_path.exists()


def test_it_runs_on_uvloop_too(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve")

    async def main() -> None:
        await watched.supervisor.start()
        assert await watched.supervisor.wait_ready(PATIENCE)
        os.kill(watched.pids()[0], signal.SIGKILL)
        await watched.seen(lambda change: change.restarts == 1)
        assert await watched.supervisor.wait_ready(PATIENCE)
        await watched.supervisor.aclose()

    uvloop.run(main())
    assert watched.alive() == []


def test_a_killed_engine_is_started_again_and_the_reason_is_kept(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve")

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert await supervisor.wait_ready(PATIENCE)
        os.kill(watched.pids()[0], signal.SIGKILL)
        await watched.seen(lambda change: change.state is State.BACKOFF)
        assert await supervisor.wait_ready(PATIENCE)
        now = supervisor.statistics()
        assert now.restarts == 1
        assert now.pid == watched.pids()[1]
        assert "SIGKILL" in now.reason

    run(watched, scenario)
    assert watched.states()[:5] == [State.STARTING, State.READY, State.BACKOFF, State.STARTING, State.READY]
    assert watched.alive() == []


def test_readiness_is_taken_back_at_once(socket_path: Path) -> None:
    watched = Watched(
        socket_path, "serve", msgspec.structs.replace(QUICK, first_wait=PATIENCE, longest_wait=PATIENCE)
    )

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert await supervisor.wait_ready(PATIENCE)
        os.kill(watched.pids()[0], signal.SIGKILL)
        await watched.seen(lambda change: change.state is State.BACKOFF)
        assert not supervisor.ready
        assert not await supervisor.wait_ready(0.05)

    run(watched, scenario)  # and the close does not wait for the long backoff to end


def test_a_crashing_engine_is_tried_again_and_says_its_last_line(socket_path: Path) -> None:
    watched = Watched(socket_path, "crash")

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.restarts == 3)
        assert change.reason == "The engine ended with code 3 after 'two'."

    run(watched, scenario)
    assert State.READY not in watched.states()
    assert State.FAILED not in watched.states()


def test_an_aborted_engine_says_why(socket_path: Path) -> None:
    watched = Watched(socket_path, "abort")

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.state is State.BACKOFF)
        assert change.reason == "The engine was ended by SIGABRT after 'GGML_ASSERT(1 == 2) failed'."

    run(watched, scenario)


def test_one_that_recovers_is_ready(socket_path: Path) -> None:
    watched = Watched(socket_path, "crash-once")

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert await supervisor.wait_ready(PATIENCE)
        assert supervisor.statistics().restarts == 1

    run(watched, scenario)


def test_a_refusal_is_failed_with_its_reason_and_tried_again(socket_path: Path) -> None:
    watched = Watched(socket_path, "refuse")

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.state is State.FAILED)
        assert change.reason == "Bad model: no such shape."
        assert change.pid is None
        await watched.seen(lambda change: change.state is State.FAILED and change.restarts == 1)

    run(watched, scenario)
    assert State.BACKOFF not in watched.states()


def test_a_hung_engine_is_killed_and_replaced(socket_path: Path) -> None:
    watched = Watched(socket_path, "hang-once", IMPATIENT)

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.state is State.BACKOFF)
        assert change.reason == "The engine stopped answering health checks and was killed."
        assert await supervisor.wait_ready(PATIENCE)
        assert not exists(watched.pids()[0])

    run(watched, scenario)


def test_a_stopped_process_is_a_hung_one(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve", IMPATIENT)

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert await supervisor.wait_ready(PATIENCE)
        os.kill(watched.pids()[0], signal.SIGSTOP)
        await watched.seen(lambda change: change.restarts == 1)
        assert await supervisor.wait_ready(PATIENCE)

    run(watched, scenario)
    assert watched.alive() == []


@pytest.mark.parametrize("behaviour", ["mute", "silent"])
def test_one_that_never_answers_is_replaced_when_patience_ends(socket_path: Path, behaviour: str) -> None:
    watched = Watched(
        socket_path, behaviour, msgspec.structs.replace(QUICK, start_patience=0.2, check_timeout=0.05)
    )

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.restarts == 1)
        assert "stopped answering" in change.reason

    run(watched, scenario)
    assert State.READY not in watched.states()
    assert watched.alive() == []


def test_loading_is_neither_ready_nor_hung(socket_path: Path) -> None:
    watched = Watched(socket_path, "loading", msgspec.structs.replace(QUICK, start_patience=1.0))

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert not await supervisor.wait_ready(1.5)
        assert supervisor.statistics().restarts == 0

    run(watched, scenario)
    assert watched.states() == [State.STARTING, State.STOPPED]


def test_vectors_that_load_are_a_start_under_way(socket_path: Path) -> None:
    watched = Watched(socket_path, "vectors", msgspec.structs.replace(QUICK, start_patience=1.0))

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert not await supervisor.wait_ready(1.5)
        assert supervisor.statistics().restarts == 0

    run(watched, scenario)
    assert watched.states() == [State.STARTING, State.STOPPED]
    assert not Path(watched.supervisor.spec.embedding_socket).exists()


def test_a_stubborn_engine_is_killed_at_close(socket_path: Path) -> None:
    watched = Watched(socket_path, "stubborn")

    async def scenario(supervisor: EngineSupervisor) -> None:
        assert await supervisor.wait_ready(PATIENCE)

    run(watched, scenario)
    assert watched.alive() == []
    assert watched.states()[-1] is State.STOPPED


def test_closing_in_the_middle_of_a_start(socket_path: Path) -> None:
    watched = Watched(socket_path, "silent")

    async def scenario(supervisor: EngineSupervisor) -> None:
        await watched.seen(lambda change: change.state is State.STARTING)

    run(watched, scenario)
    assert not any(exists(change.pid) for change in watched.changes if change.pid)


def test_closing_before_start_twice_and_at_once(socket_path: Path) -> None:
    async def main() -> None:
        unused = Watched(socket_path, "serve").supervisor
        await unused.aclose()
        assert unused.statistics().state is State.STOPPED
        at_once = Watched(socket_path, "serve").supervisor
        await at_once.start()
        await asyncio.gather(at_once.aclose(), at_once.aclose())
        await at_once.aclose()
        assert at_once.statistics().state is State.STOPPED

    asyncio.run(main())
    assert not Path(f"{socket_path}.pids").exists()


def test_a_cancelled_owner_takes_the_engine_with_it(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve")

    async def main() -> None:
        await watched.supervisor.start()
        assert await watched.supervisor.wait_ready(PATIENCE)
        # No aclose: the loop's end cancels what runs.

    asyncio.run(main())
    assert watched.alive() == []


def test_a_program_that_is_not_there_is_a_reason_and_not_an_exception(socket_path: Path) -> None:
    watched = Watched(socket_path, "serve", command=("/nowhere/python",))

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.restarts == 1)
        assert "could not be started" in change.reason
        assert "/nowhere/python" in change.reason

    run(watched, scenario)


def test_an_error_in_on_change_is_the_loops_and_the_watch_goes_on(socket_path: Path) -> None:
    reported: list[object] = []

    def fail(_: EngineStatistics) -> None:
        raise LookupError("mine")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        spec = EngineSpec(name="m", model="serve", socket=str(socket_path))
        supervisor = EngineSupervisor(spec, rules=QUICK, command=COMMAND, on_change=fail)
        await supervisor.start()
        assert await supervisor.wait_ready(PATIENCE)
        await supervisor.aclose()

    asyncio.run(main())
    assert reported
    assert all(isinstance(error, LookupError) for error in reported)


def test_the_child_gets_no_secrets(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-secret")
    monkeypatch.setenv("ABYSSAL_API_KEY", "also-secret")
    monkeypatch.setenv("AIP_MODE", "PREDICTION")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    out = socket_path.with_name("environment")
    command = (
        sys.executable,
        "-c",
        f"import os, json; open({str(out)!r}, 'w').write(json.dumps(dict(os.environ)))",
    )
    watched = Watched(socket_path, "serve", command=command)

    async def scenario(supervisor: EngineSupervisor) -> None:
        await watched.seen(lambda change: change.state is State.BACKOFF)

    run(watched, scenario)
    environment = msgspec.json.decode(out.read_bytes(), type=dict[str, str])
    assert environment["OMP_NUM_THREADS"] == "3"
    assert "secret" not in str(environment)
    assert "AIP_MODE" not in environment


def test_a_flood_of_output_neither_blocks_the_engine_nor_fills_memory(socket_path: Path) -> None:
    program = "import sys\nsys.stderr.write('x' * 3_000_000 + '\\n' + 'y\\n' * 100_000 + 'last'); sys.exit(4)"
    watched = Watched(socket_path, "serve", command=(sys.executable, "-c", program))

    async def scenario(supervisor: EngineSupervisor) -> None:
        change = await watched.seen(lambda change: change.state is State.BACKOFF)
        assert change.reason == "The engine ended with code 4 after 'last'."

    run(watched, scenario)


def test_since_is_the_clock_s(socket_path: Path) -> None:
    clock = ManualClock(unix=1000)
    supervisor = EngineSupervisor(EngineSpec(name="m", model="serve", socket=str(socket_path)), clock=clock)
    clock.advance(5)
    assert supervisor.statistics().since_ns == 1000 * 10**9


def test_it_needs_a_socket_and_starts_once(socket_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1"):
        EngineSupervisor(EngineSpec(name="m", model="serve", listen="127.0.0.1:1"))

    async def main() -> None:
        supervisor = Watched(socket_path, "silent").supervisor
        await supervisor.start()
        try:
            with pytest.raises(RuntimeError, match="before"):
                await supervisor.start()
        finally:
            await supervisor.aclose()

    asyncio.run(main())
