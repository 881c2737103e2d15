"""An `abyssal serve` process as a child: started, waited for, listened to, stopped.

What it says on standard error is passed on, but for its information lines. Its standard output is not
kept: it shows the first API key.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from abyssal.cli.connection import Node, node_url, read_node
from abyssal.wire.errors import ApiConnectionError, UnavailableError

_POLL = 0.02  # seconds
_INFORMATION = " INFO "


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` says: which upstreams there are, and whether each can be used."""

    upstreams: dict[str, str] = {}


class ServerProcess:
    """construct, which starts it → `wait_ready` → `wait` → `stop`. `heard` runs in another thread."""

    def __init__(self, arguments: Sequence[str], data: Path, heard: Callable[[str], None]) -> None:
        self._data = data
        self._heard = heard
        self._process = subprocess.Popen(
            [sys.executable, "-m", "abyssal", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # A group of its own: Ctrl-C reaches it once, through `stop`, and not in the middle of its end.
            process_group=0,
        )
        self._listener = threading.Thread(target=self._listen, name="server-stderr", daemon=True)
        self._listener.start()
        self._ready = False

    def wait_ready(self, waiting_for: Callable[[str], None]) -> Node | None:
        """Wait until `/readyz` answers 200; what it is, or None if it ended before.

        `waiting_for` is told each time that something else is waited for.
        """
        told = ""
        while self._process.poll() is None:
            node = self._own_node()
            missing = "the gateway" if node is None else self._not_ready(node)
            if not missing:
                self._ready = True
                return node
            if missing != told:
                told = missing
                waiting_for(missing)
            time.sleep(_POLL)
        return None

    def wait(self) -> int:
        """Wait for its end; its exit code, 128 and the signal's number if a signal ended it."""
        code = self._process.wait()
        self._listener.join(timeout=1.0)  # its children may hold the pipe open for longer
        return code if code >= 0 else 128 - code

    def stop(self) -> int:
        """Let running answers finish and wait; 0 also if it was stopped before it was ready.

        Ctrl-C while waiting ends it at once.
        """
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self.wait()
        except KeyboardInterrupt:
            os.killpg(self._process.pid, signal.SIGKILL)  # with its workers, which would finish their answers
            code = self.wait()
        return code if self._ready else 0

    def _own_node(self) -> Node | None:
        """What it says of itself; a file that a killed predecessor left is not its."""
        node = read_node(self._data)
        return node if node is not None and node.pid == self._process.pid else None

    def _not_ready(self, node: Node) -> str:
        """What is missing, "" if it is ready."""
        from abyssal import DeepSeekClient

        with DeepSeekClient("none", base_url=node_url(node), max_retries=0) as client:
            try:
                client.request("GET", "/readyz")
            except UnavailableError as error:
                state = msgspec.convert(error.body, Readiness)
                missing = [name for name, is_now in state.upstreams.items() if is_now != "ready"]
                return ", ".join(missing) or "the gateway"
            except ApiConnectionError:
                return "the gateway"
        return ""

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            if text and _INFORMATION not in text:
                self._heard(text)
