"""The place an engine listens on: made free before it is bound, and given back afterwards."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from abyssal.engine.spec import EngineExit, EngineSpec
from abyssal.wire.errors import LocalError


class EngineError(LocalError):
    """The engine cannot serve; `exit_code` is what its process ends with."""

    def __init__(self, exit_code: EngineExit, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def claim_address(spec: EngineSpec) -> None:
    """Make sure that the engine can bind its address; what a dead engine left there is removed.

    `EngineError` with `NO_ADDRESS` when somebody else has it, or the place cannot be written to. llama.cpp
    itself says only that it could not bind.
    """
    if spec.socket:
        for path in spec.sockets:
            _claim_socket(Path(path))
    else:
        _try_port(*spec.host_and_port())


def socket_identity(path: str) -> tuple[int, int] | None:
    """What tells this socket from a later one of the same name; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def release_socket(path: str, identity: tuple[int, int] | None) -> None:
    """Remove the socket if it is still the one of that identity, not a successor's."""
    if identity is not None and socket_identity(path) == identity:
        Path(path).unlink(missing_ok=True)


def _claim_socket(path: Path) -> None:
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _no_address(f"the directory {path.parent} does not exist or is not writable")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _no_address(f"{path} exists and is no socket: remove it or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)  # nobody listens: its engine was killed
        else:
            raise _no_address(f"another engine answers on {path}: stop it or choose another path")


def _try_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _no_address(f"{host}:{port} cannot be bound ({error.strerror or error})") from None


def _no_address(why: str) -> EngineError:
    return EngineError(EngineExit.NO_ADDRESS, f"The engine cannot listen: {why}.")
