"""The `abyssal` command as a process: run to its end, or typed to on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

COMMAND = (sys.executable, "-m", "abyssal")
PATIENCE = 20.0

# Makes the terminal it was given its own, so that a typed Ctrl-C is a signal, and becomes the command.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")
_FOREIGN = ("ABYSSAL_", "DEEPSEEK_", "PYTHONIOENCODING", "NO_COLOR", "FORCE_COLOR")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would change a test, and with `settings`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    return {**kept, "TERM": "xterm-256color", "INPUTRC": os.devnull, **settings}


def abyssal(*arguments: str, stdin: str | bytes = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """`abyssal ARGUMENTS` with these environment variables, in pipes; never a traceback."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        env=environment(settings),
        timeout=PATIENCE,
    )
    text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in text.stderr, text.stderr
    return text


class Terminal:
    """`abyssal ARGUMENTS` on a terminal of 100 columns. What appears is read by `wait_for`."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(settings),
            start_new_session=True,
        )
        os.close(theirs)
        self.written = ""
        self._seen = 0

    def type(self, text: str) -> None:
        """As from the keyboard: `\\r` is Enter, `\\x03` Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until `text` appears; what appeared since the last call up to there, without colours."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.plain.find(text, self._seen)) < 0:
            assert time.monotonic() < deadline, f"no {text!r} in {self.plain[self._seen :]!r}"
            assert self._read(), f"it ended without {text!r}: {self.plain[self._seen :]!r}"
        start, self._seen = self._seen, found + len(text)
        return self.plain[start : self._seen]

    def wait_end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        code = self.process.wait(PATIENCE)
        assert "Traceback" not in self.plain, self.plain
        return code

    @property
    def plain(self) -> str:
        """All that appeared, without colours and other commands to the terminal."""
        return _ESCAPES.sub("", self.written).replace("\r", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        os.close(self._ours)

    def _read(self) -> bool:
        """Read once; False at the end."""
        if not select.select([self._ours], [], [], PATIENCE)[0]:
            raise AssertionError(f"nothing more came: {self.plain!r}")
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # Linux: the last process on the terminal has left
            return False
        self.written += data.decode(errors="replace")
        return bool(data)
