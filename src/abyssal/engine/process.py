"""One child process and its last words: spawned with a spec on standard input, asked to stop, or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from abyssal.engine.spec import EngineSpec

COMMAND = (sys.executable, "-m", "abyssal.engine.child")
"""What runs an engine; anything that reads the spec's line and answers GET /health will do."""

_TAIL_LINES = 20
_TAIL_LINE_BYTES = 1000
_INHERITED = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV"})
_INHERITED_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_", "OMP_", "GOMP_", "GGML_", "CUDA_", "HIP_", "ROCR_")


class EngineProcess(asyncio.SubprocessProtocol):
    """A running child. `lines` are the last lines that it wrote, without their ends; `ended` is done when it
    is gone and all it wrote is read, with the return code (negative: the signal that ended it)."""

    def __init__(self) -> None:
        self.pid = 0
        self.lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self._rest = b""

    @classmethod
    async def spawn(cls, spec: EngineSpec, command: Sequence[str]) -> EngineProcess:
        """Start it. `OSError` when the system will not.

        It gets a session of its own, so that Ctrl-C in the terminal is its parent's affair, and an
        environment without the platform's secrets.
        """
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            cls,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(os.environ),
            start_new_session=True,
        )
        child.pid = transport.get_pid()
        stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        stdin.write(msgspec.json.encode(spec) + b"\n")  # and stays open: its end is the child's
        return child

    async def stop(self, grace: float) -> int:
        """Ask it to end, insist after `grace` seconds, and give the return code."""
        self._send(signal.SIGTERM)
        await asyncio.wait([self.ended], timeout=grace)
        return await self.kill()

    async def kill(self) -> int:
        """End it now, even if it is stopped by SIGSTOP or hung, and give the return code."""
        self._send(signal.SIGKILL)
        return await asyncio.shield(self.ended)

    def _send(self, number: signal.Signals) -> None:
        if self._transport is not None and self._transport.get_returncode() is None:
            self._transport.send_signal(number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is none by inheritance

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self.lines.extend(_text(line) for line in lines)
        self._rest = rest[-_TAIL_LINE_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        if self._rest:
            self.lines.append(_text(self._rest))
        code = self._transport.get_returncode()
        self._transport.close()
        if not self.ended.done():
            self.ended.set_result(-signal.SIGKILL if code is None else code)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the parent's environment an engine gets: paths, locale, and what tunes its libraries."""
    return {
        name: value
        for name, value in environment.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def _text(line: bytes) -> str:
    return line[-_TAIL_LINE_BYTES:].decode(errors="replace").rstrip()
