"""An engine that is kept running: spawned, watched, replaced when it dies or hangs, stopped with its owner.

The decisions are `lifecycle`'s; here are the process, the socket and the waiting.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from abyssal.clock import Clock, SystemClock
from abyssal.engine.diagnosis import explain, is_refusal
from abyssal.engine.health import check_health
from abyssal.engine.lifecycle import Health, Lifecycle, Rules, State
from abyssal.engine.process import COMMAND, EngineProcess
from abyssal.engine.spec import EngineSpec
from abyssal.wire.errors import ConfigurationError

_log = logging.getLogger("abyssal.engine")


class EngineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """An engine at one moment. `since_ns` is the Unix time of its last change of state, in nanoseconds;
    `reason` is why the process before this one ended, empty while there was none."""

    name: str
    state: State
    pid: int | None
    restarts: int
    since_ns: int
    reason: str


class EngineSupervisor:
    """One engine on its Unix socket: construct, `start`, use, `aclose`.

    An engine's death is never an exception here: it is a state, a log line and a call of `on_change`,
    which gets the new statistics on the event loop and must be quick.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        rules: Rules | None = None,
        clock: Clock | None = None,
        command: Sequence[str] = COMMAND,
        on_change: Callable[[EngineStatistics], None] | None = None,
    ) -> None:
        if not spec.socket:
            raise ConfigurationError(
                f"The supervised engine {spec.name!r} needs a socket, not {spec.listen!r}."
            )
        self.spec = spec
        self._rules = rules or Rules()
        self._clock = clock or SystemClock()
        self._command = tuple(command)
        self._on_change = on_change
        self._life = Lifecycle(self._rules, self._clock.monotonic())
        self._since_ns = self._clock.unix_ns()
        self._pid: int | None = None
        self._reason = ""
        self._closing = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the last health check found it serving."""
        return self._life.state is State.READY

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(
            name=self.spec.name,
            state=self._life.state,
            pid=self._pid,
            restarts=max(0, self._life.spawns - 1),
            since_ns=self._since_ns,
            reason=self._reason,
        )

    async def start(self) -> None:
        """Begin; does not wait until the engine is ready, see `wait_ready`. A second call is an error."""
        if self._task is not None:
            raise RuntimeError(f"The engine {self.spec.name!r} was started before.")
        self._task = asyncio.get_running_loop().create_task(
            self._keep_running(), name=f"engine {self.spec.name}"
        )

    async def wait_ready(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for readiness; whether it came."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        """End the engine and remove its socket; a hung one is killed after `stop_grace` seconds.

        May be called at any time, and again.
        """
        self._closing.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _keep_running(self) -> None:
        closing = asyncio.get_running_loop().create_task(self._closing.wait())
        while not closing.done():
            self._life.spawned(self._clock.monotonic())
            code = await self._run_once(closing)
            if not self._closing.is_set():
                wait = self._life.exited(self._clock.monotonic(), refused=is_refusal(code))
                _log.warning("engine %s: %s Next start in %g s.", self.spec.name, self._reason, wait)
                self._changed()
                await asyncio.wait([closing], timeout=wait)
        self._life.closed()
        self._remove_sockets()
        self._changed()

    async def _run_once(self, closing: asyncio.Task[Literal[True]]) -> int:
        """One process from its spawn to its end; the return code."""
        try:
            child = await EngineProcess.spawn(self.spec, self._command)
        except OSError as error:
            self._reason = f"The engine's process could not be started: {error}."
            return 1
        self._pid = child.pid
        self._changed()
        try:
            return await self._watch(child, closing)
        finally:
            self._pid = None
            await child.kill()

    async def _watch(self, child: EngineProcess, closing: asyncio.Task[Literal[True]]) -> int:
        """Until the process has ended by itself, is hung and killed, or must be stopped; the return code."""
        while True:
            pause = self._life.next_check(self._clock.monotonic())
            await asyncio.wait([child.ended, closing], timeout=pause, return_when=FIRST_COMPLETED)
            if child.ended.done():
                code = child.ended.result()
                self._reason = explain(code, child.lines)
                return code
            if closing.done():
                return await child.stop(self._rules.stop_grace)
            check = asyncio.get_running_loop().create_task(self._check())
            await asyncio.wait([check, child.ended, closing], return_when=FIRST_COMPLETED)
            if not check.done():
                check.cancel()
                continue
            before = self._life.state
            hung = self._life.checked(check.result(), self._clock.monotonic())
            if self._life.state is not before:
                _log.info("engine %s: %s", self.spec.name, self._life.state)
                self._changed()
            if hung:
                self._reason = "The engine stopped answering health checks and was killed."
                return await child.kill()

    async def _check(self) -> Health:
        """One look. Vectors are served before chats are, so life at their socket is a start under way."""
        timeout, vectors = self._rules.check_timeout, self.spec.embedding_socket
        health = await check_health(self.spec.socket, timeout)
        if health is not Health.SILENT or self.ready or not vectors:
            return health
        return Health.SILENT if await check_health(vectors, timeout) is Health.SILENT else Health.LOADING

    def _remove_sockets(self) -> None:
        for path in self.spec.sockets:
            Path(path).unlink(missing_ok=True)

    def _changed(self) -> None:
        self._since_ns = self._clock.unix_ns()
        if self.ready:
            self._ready.set()
        else:
            self._ready.clear()
        if self._on_change is not None:
            # By way of the loop, so that its errors are the loop's to report and never end the watch.
            asyncio.get_running_loop().call_soon(self._on_change, self.statistics())
