"""What an engine runs: its name, model file, address and sizes, and how its process says why it stopped."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import msgspec

from abyssal.engine.bundled import BUNDLED_MODEL, bundled_path
from abyssal.wire.errors import ConfigurationError

LONGEST_SOCKET_PATH = 103
"""Bytes of a Unix socket's path that every system takes (sun_path is 104 bytes on macOS, with a NUL)."""


class EngineExit(IntEnum):
    """Exit codes of the engine's process; the numbers are those of BSD's sysexits(3).

    All but `OK` and `USAGE` mean that starting again at once cannot help.
    """

    OK = 0
    USAGE = 64
    BAD_MODEL = 65
    NO_MODEL = 66
    NOT_INSTALLED = 69
    NO_MEMORY = 71
    NO_ADDRESS = 73


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine: what it serves, where, and how much at once. Bad values raise `ConfigurationError`.

    `name` is what answers and `/v1/models` call the model, `model` a GGUF file or "abyssal-tiny".
    Exactly one of `socket` (a path that ends in .sock) and `listen` ("127.0.0.1:8081") says where.
    `context` is in tokens for each slot, prompt and answer together; `slots` answers are written at
    the same time. `queue` calls may wait for a slot without keeping a health check from being answered;
    whoever sends the calls bounds them. `embedding_tokens` is the longest input that is embedded, at
    `embedding_socket`; 0 for an engine that embeds nothing. `threads` of 0 chooses by the machine and the
    model's size.
    """

    name: str
    model: str
    socket: str = ""
    listen: str = ""
    context: int = 4096
    slots: int = 4
    queue: int = 64
    threads: int = 0
    embedding_tokens: int = 2048

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("The engine's name is empty: give it the model's name.")
        if not self.model:
            raise ConfigurationError(
                f"The engine {self.name!r} has no model: give a GGUF file or {BUNDLED_MODEL!r}."
            )
        for what, value, least, most in (
            ("context", self.context, 64, 16_777_216),
            ("slots", self.slots, 1, 256),
            ("queue", self.queue, 0, 8192),
            ("threads", self.threads, 0, 512),
            ("embedding_tokens", self.embedding_tokens, 0, 1_048_576),
        ):
            if not least <= value <= most:
                raise ConfigurationError(
                    f"The engine's {what} is {value}, but must be between {least} and {most}."
                )
        if bool(self.socket) == bool(self.listen):
            raise ConfigurationError(
                f"The engine {self.name!r} needs one address: either socket or listen, "
                f"not {self.socket!r} and {self.listen!r}."
            )
        if self.socket:
            for path in self.sockets:
                _check_socket(path)
        else:
            self.host_and_port()

    @property
    def embedding_socket(self) -> str:
        """Where vectors are asked for, "" for an engine that embeds nothing: one at a port does not."""
        return f"{self.socket.removesuffix('.sock')}v.sock" if self.socket and self.embedding_tokens else ""

    @property
    def sockets(self) -> tuple[str, ...]:
        """The paths of all sockets that it has."""
        return tuple(path for path in (self.socket, self.embedding_socket) if path)

    def host_and_port(self) -> tuple[str, int]:
        """`listen` taken apart; a port of 0 lets the system choose. "[::1]:8081" gives "::1"."""
        host, colon, port = self.listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ConfigurationError(
                f"The engine cannot listen on {self.listen!r}: write HOST:PORT, such as 127.0.0.1:8081."
            )
        return host, int(port)

    def model_file(self) -> Path:
        """The GGUF file, whether it exists or not."""
        if self.model == BUNDLED_MODEL:
            return bundled_path()
        return Path(self.model).expanduser()


def _check_socket(path: str) -> None:
    if not path.endswith(".sock"):
        raise ConfigurationError(
            f"The engine's socket {path!r} must end in .sock: llama.cpp tells sockets from host names by it."
        )
    length = len(path.encode())
    if length > LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"The engine's socket {path!r} is {length} bytes long, and a Unix socket's path has at most "
            f"{LONGEST_SOCKET_PATH}: choose a shorter directory."
        )
