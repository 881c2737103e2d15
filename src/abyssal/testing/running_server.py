"""A real `abyssal serve` process, started and stopped by a test.

    with RunningServer(gateway_config(upstream), tmp_path) as server:
        ...                                      # server.base_url, server.api_key

Hermetic: its own data directory and port, no proxy, no key and no setting from the environment of the test.
What it prints is in `log()`, and in the error if it does not start. Leaving the block sends SIGTERM and
fails unless the exit status is 0 and no child is left.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from abyssal.testing.processes import descendants, group_members

_POLL = 0.02  # seconds
_LOG_SHOWN = 8_000  # characters
_FOREIGN = ("ABYSSAL_", "DEEPSEEK_", "OPENAI_", "ANTHROPIC_")


class ServerFailedError(AssertionError):
    """The server did not do what every server must: start, stay up, stop cleanly. Shows its output."""


class _Node(msgspec.Struct, frozen=True):
    pid: int
    url: str


class RunningServer:
    """`config` is the text of a configuration file, None for a start without one.

    `data` is the data directory; a second server on the same one finds what the first left. `arguments` are
    added to ``abyssal serve``, `environ` to the environment, which loses what would leak in from outside.
    `grace` (seconds) is how long a stop waits for running answers. The exit of the `with` block is checked
    unless `stop` or `kill` was called in it.
    """

    def __init__(
        self,
        config: str | None,
        data: str | Path,
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        workers: int = 1,
        grace: float = 5.0,
        ready_within: float = 60.0,
    ) -> None:
        self.data = Path(data)
        self.process: subprocess.Popen[bytes] | None = None
        self._config = config
        self._arguments = list(arguments)
        self._environ = _clean_environment() | dict(environ or {})
        self._environ.setdefault("ABYSSAL_API_KEY", f"sk-test-{secrets.token_urlsafe(24)}")
        self._workers = workers
        self._grace = grace
        self._ready_within = ready_within
        self._log = self.data / "server.log"
        self._log_start = 0
        self._node: _Node | None = None
        self._sweep: weakref.finalize[[int], RunningServer] | None = None

    # Life

    def start(self) -> RunningServer:
        """Start and wait until it is ready; ServerFailedError, with its output, if it is not in time."""
        self.launch()
        self.wait_ready(self._ready_within)
        return self

    def launch(self) -> None:
        """Start without waiting."""
        if self.process is not None and self.process.poll() is None:
            raise RuntimeError("this server is already running")
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "abyssal", "serve", "--listen", "127.0.0.1:0"]
        command += ["--data", str(self.data), "--workers", str(self._workers), "--grace", str(self._grace)]
        if self._config is not None:
            path = self.data / "test-config.toml"
            path.write_text(self._config)
            command += ["--config", str(path)]
        # What a killed predecessor left would name a server that is gone.
        (self.data / "node.json").unlink(missing_ok=True)
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._node = None
        with self._log.open("ab") as log:
            # A group of its own: Ctrl-C goes to the test run alone, and what is left over can be found.
            self.process = subprocess.Popen(
                command + self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )
        self._sweep = weakref.finalize(self, _kill_group, self.process.pid)

    def wait_ready(self, timeout: float) -> None:
        """Wait until ``/readyz`` answers 200; ServerFailedError after `timeout` seconds or if it dies."""
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            status = self._running().poll()
            if status is not None:
                self._give_up(f"the server ended with status {status} before it was ready")
            if time.monotonic() > deadline:
                self._give_up(f"the server was not ready within {timeout} s")
            time.sleep(_POLL)

    def stop(self, timeout: float | None = None) -> int:
        """SIGTERM, wait, and give the exit status; ServerFailedError after `timeout` seconds (grace + 10)."""
        process = self._running()
        limit = self._grace + 10 if timeout is None else timeout
        if process.poll() is None:
            process.terminate()
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            self._give_up(f"the server did not stop within {limit} s of SIGTERM")
        self._leave()
        return status

    def kill(self) -> None:
        """SIGKILL to the main process, as a crash; its children are swept up when the block is left."""
        process = self._running()
        process.kill()
        process.wait()

    def __enter__(self) -> RunningServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        if error is not None or self._sweep is None or process.returncode is not None:
            self._leave()  # the test's own failure is the one to show; or it has stopped the server itself
            return
        died = process.poll()
        if died is not None:
            self._give_up(f"the server ended with status {died} during the test")
        status = self.stop()
        if status != 0:
            raise ServerFailedError(f"the server stopped with status {status}\n{self._shown_log()}")

    # What it is

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        if self._node is None:
            raise RuntimeError("the server is not ready; use it in a with statement, or start() it")
        return self._node.url

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"{self.url}/v1"

    @property
    def api_key(self) -> str:
        """The platform's first key, if the data directory was empty at the first start."""
        return self._environ["ABYSSAL_API_KEY"]

    @property
    def pid(self) -> int:
        """The main process."""
        return self._running().pid

    def child_pids(self) -> list[int]:
        """All processes below the main one, workers and engines, in the order of their ids."""
        return descendants(self.pid)

    def log(self) -> str:
        """What this start has printed so far, standard output and standard error together."""
        if not self._log.exists():
            return ""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")

    # Within

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError("the server was not started; use it in a with statement, or start() it")
        return self.process

    def _is_ready(self) -> bool:
        if self._node is None:
            try:
                self._node = msgspec.json.decode((self.data / "node.json").read_bytes(), type=_Node)
            except (FileNotFoundError, msgspec.DecodeError):
                return False
        target = urlsplit(self._node.url)
        connection = http.client.HTTPConnection(target.hostname or "127.0.0.1", target.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _leave(self) -> None:
        """See that nothing of the group is left; ServerFailedError if a server that stopped left children."""
        process = self._running()
        stopped = process.poll() == 0
        left = _left_after(2.0, process.pid) if stopped else []
        if self._sweep is not None:
            self._sweep()
        process.wait()
        _left_after(2.0, process.pid)
        if left:
            raise ServerFailedError(f"the server stopped and left processes {left}\n{self._shown_log()}")

    def _give_up(self, problem: str) -> NoReturn:
        if self._sweep is not None:
            self._sweep()
        self._running().wait()
        raise ServerFailedError(f"{problem}\n{self._shown_log()}")

    def _shown_log(self) -> str:
        text = self.log()
        cut = "" if len(text) <= _LOG_SHOWN else "...\n"
        return f"command: {self._running().args}\noutput:\n{cut}{text[-_LOG_SHOWN:] or '(nothing)'}"


def _clean_environment() -> dict[str, str]:
    """The environment without what would make a test depend on whose machine it runs on."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_FOREIGN) and not name.upper().endswith("_PROXY")
    }
    return kept | {"PYTHONUNBUFFERED": "1"}


def _left_after(patience: float, group: int) -> list[int]:
    """The processes of the group that have not ended within `patience` seconds."""
    deadline = time.monotonic() + patience
    while (left := group_members(group)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return left


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
