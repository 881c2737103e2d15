"""An engine's own process from its start to its end: claim the address, load, answer, stop at a signal."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from abyssal.engine import llama
from abyssal.engine.address import EngineError, claim_address, release_socket, socket_identity
from abyssal.engine.spec import EngineExit, EngineSpec


def serve_until_stopped(
    spec: EngineSpec, *, parent: int | None = None, on_ready: Callable[[str], None] | None = None
) -> NoReturn:
    """Serve until SIGTERM, then end this process with an `EngineExit` code. Never returns.

    With `parent`, a file descriptor whose other end the parent process holds open and never writes to, the
    end of the parent is the end of the engine, and SIGINT (Ctrl-C reaches the whole foreground group) is
    left to the parent; without it, SIGINT stops as SIGTERM does. `on_ready` gets the address: "unix://…" or
    "http://…".

    Answers that are being written are cut: whoever stops an engine lets them finish first.
    """
    # While the model loads no Python runs, so the signals must do their work without it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL if parent is None else signal.SIG_IGN)
    try:
        claim_address(spec)
        servers = llama.serve(spec)
    except EngineError as error:
        print_error(error.message)
        _leave(error.exit_code)
    identities = {path: socket_identity(path) for path in spec.sockets}
    woken = _catch_signals(interrupt=parent is None)
    if on_ready is not None:
        on_ready(servers.address)
    _wait_for_end(woken, parent)
    for path, identity in identities.items():
        release_socket(path, identity)
    _leave(EngineExit.OK)


def print_error(message: str) -> None:
    """One line to standard error, where the supervisor or a person reads why the engine ended."""
    sys.stderr.write(f"abyssal engine: {message}\n")


def _catch_signals(*, interrupt: bool) -> int:
    """A file descriptor that can be read once SIGTERM came, or, with `interrupt`, SIGINT.

    llama.cpp has put its own handlers in place, which wait for the running batch. One of Python's may be
    told on any of llama.cpp's threads; the descriptor wakes the right one.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, _noted)
    signal.signal(signal.SIGINT, _noted if interrupt else signal.SIG_IGN)
    return woken


def _wait_for_end(woken: int, parent: int | None) -> None:
    """Return when `woken` can be read, or when the parent is gone."""
    watched = [woken] if parent is None else [woken, parent]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if woken in readable or os.read(readable[0], 4096) == b"":
            return


def _noted(*_: object) -> None:
    """A signal handler that leaves everything to the wake-up descriptor."""


def _leave(code: EngineExit) -> NoReturn:
    """End at once. Destroying the server would first wait for the batch that is being computed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
