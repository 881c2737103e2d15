"""A child process that is pinned, measured from outside, and ended with everything it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec

_PR_SET_PDEATHSIG = 1
_CPUCLOCK_SCHED = 2


class BenchError(Exception):
    """A row cannot be measured; the message says which program did what."""


class Memory(msgspec.Struct, frozen=True):
    """Bytes. `pss` shares pages that several processes map among them, `rss` counts them in full.

    `peak` is the largest `rss` since the process began.
    """

    rss: int
    pss: int
    peak: int


def cpu_seconds(pid: int) -> float:
    """User + system time of all threads of a process, dead threads too, in nanosecond steps.

    The clock that clock_getcpuclockid(3) names; 0.0 once the process is gone.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def memory(pid: int) -> Memory:
    """Resident memory now. Raises BenchError when the process is gone or is not ours to look at."""
    fields: dict[str, int] = {}
    try:
        rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise BenchError(f"cannot read the memory of process {pid}: {error}") from error
    for line in rolled.splitlines()[1:] + status.splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            fields[name] = int(rest.split()[0]) * 1024
    return Memory(fields["Rss"], fields["Pss"], fields["VmHWM"])


def command_line(pid: int) -> str:
    """The arguments of a process, joined by spaces; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """The process and all its living children, their children and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The name in parentheses may hold spaces and parentheses itself: proc(5).
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(done: Callable[[], bool], seconds: float, what: str, alive: Process | None = None) -> None:
    """Returns when `done()` is true; BenchError after `seconds`, or at once when `alive` has ended."""
    end = time.monotonic() + seconds
    while not done():
        if alive is not None and alive.returncode is not None:
            raise BenchError(
                f"{alive.name} ended with status {alive.returncode} before {what}: {alive.log_tail()}"
            )
        if time.monotonic() > end:
            tail = f": {alive.log_tail()}" if alive is not None else ""
            raise BenchError(f"waited {seconds:.0f} s for {what}, in vain{tail}")
        time.sleep(0.01)


def listening(port: int) -> bool:
    """True when something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def http_status(port: int, path: str) -> int:
    """The status of a GET on 127.0.0.1:`port`; 0 when nothing answers within a second."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            line = link.recv(64)
    except OSError:
        return 0
    return int(line[9:12]) if line.startswith(b"HTTP/1.") else 0


@contextlib.contextmanager
def pinned(to: frozenset[int]) -> Generator[None]:
    """Children that are started inside get these cores: affinity is inherited across fork and exec."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A program in its own process group, so that one signal reaches all that it started."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cores: frozenset[int],
        log: Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        capture: bool = False,
    ) -> None:
        """Starts it. Its output goes to `log`; with `capture`, standard output is kept for `result()`."""
        self.name = name
        self._log = log
        with pinned(cores), log.open("wb") as sink:
            self._popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else sink,
                stderr=sink,
                cwd=cwd,
                env=env,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 -- the benchmark has one thread
            )
        self.pid = self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._popen.poll()

    def result(self, seconds: float) -> str:
        """Standard output of a program that ends by itself with status 0 in `seconds`; else BenchError."""
        try:
            out, _ = self._popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            self.stop(grace=0)
            raise BenchError(f"{self.name} did not end in {seconds:.0f} s") from error
        if self._popen.returncode != 0:
            raise BenchError(f"{self.name} ended with status {self._popen.returncode}: {self.log_tail()}")
        return (out or b"").decode()

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return " | ".join(lines[-4:]) or "(it wrote nothing)"

    def stop(self, grace: float = 5.0) -> None:
        """SIGTERM to the first process, and SIGKILL to what is left of the group after `grace` seconds."""
        if self._popen.poll() is None and grace > 0:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
