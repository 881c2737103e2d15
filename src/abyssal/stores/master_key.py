"""The keys that wrap every other secret: the ring as a text, and where it comes from.

1. The ring is a text: one key per line, `mk_<hex id> <base64 of 32 bytes>`; what follows `#` is a comment.
   The last key is the newest. Which one seals is said by the database, not here.
2. It comes from a file (by default `master.key` in the data directory, made when the first key is needed,
   mode 600), an environment variable, or a command that prints it. Only the file is ever written to.
3. A key that was read once stays in memory: what another process is just rewrapping can still be opened. For
   an id that is unknown the source is read again, and for the same id not again for 10 s: a million rows
   whose key is lost are not a million commands.

No message and no `repr` has a key in it.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from abyssal.clock import Clock, SystemClock
from abyssal.config import MasterKeySource
from abyssal.stores.key_file import KeyFile
from abyssal.stores.sealing import KEY_BYTES, MasterKey, is_key_id
from abyssal.wire.errors import ConfigurationError

FILE_NAME = "master.key"
_COMMAND_SECONDS = 10.0
_ASK_AGAIN_AFTER = 10.0  # seconds


class RingSource(Protocol):
    """Where the text of a ring comes from. `name` is for messages."""

    name: str

    def read(self) -> str:
        """The text, "" when there is none yet; ConfigurationError when it cannot be had."""
        ...


class MasterKeys:
    """The keys of a ring by their ids. Which of them is current is the database's to say."""

    def __init__(self, source: RingSource, clock: Clock | None = None) -> None:
        """Reads the source. ConfigurationError when what it gives is no ring."""
        self._source = source
        self._file = source if isinstance(source, KeyFile) else None
        self._clock = clock or SystemClock()
        self._absent: dict[str, float] = {}
        self._keys: dict[str, MasterKey] = {}
        self._ring: tuple[str, ...] = ()
        self.reload()

    @property
    def name(self) -> str:
        """Where the ring comes from, for messages."""
        return self._source.name

    @property
    def ring(self) -> tuple[str, ...]:
        """The ids that the source had when it was last read, the newest last."""
        return self._ring

    @property
    def in_file(self) -> bool:
        """Whether the ring is a file of ours, which a change of keys rewrites."""
        return self._file is not None

    def reload(self) -> None:
        """Read the source again."""
        keys = parse_ring(self._source.read(), self._source.name)
        self._ring = tuple(key.id for key in keys)
        self._keys = {**self._keys, **{key.id: key for key in keys}}

    def key(self, key_id: str) -> MasterKey:
        """The key of that id; ConfigurationError when the source does not have it either."""
        found = self._keys.get(key_id)
        if found is not None:
            return found
        now = self._clock.monotonic()
        if now - self._absent.get(key_id, float("-inf")) >= _ASK_AGAIN_AFTER:
            self._absent[key_id] = now
            self.reload()
        if key_id not in self._keys:
            raise ConfigurationError(
                f"{self.name} does not have the master key {key_id}, with which this database's secrets are "
                "sealed: client secrets, signing keys, token keys, and what API keys are checked with. None "
                "of them can be read without it; restore it from where it was kept."
            )
        return self._keys[key_id]

    def first(self) -> MasterKey:
        """The newest key; a file that is not there yet is made with one."""
        if not self._ring and self._file is not None:
            self._file.create(ring_line() + "\n")
            self.reload()
        return self._newest()

    def next(self) -> MasterKey:
        """The key to change to: the newest of the source. A file with a single key gets another first.

        Only for who holds the row of the current key: two who add at once would lose one's key.
        """
        self.reload()
        if len(self._ring) == 1 and self._file is not None:
            self._file.replace(self._file.read().rstrip("\n") + f"\n{ring_line()}\n")
            self.reload()
        return self._newest()

    def keep_only(self, key_id: str) -> None:
        """Take every other key out of the file; the operator's own sources stay as they are."""
        if self._file is None:
            return
        lines = self._file.read().splitlines()
        kept = [line for line in lines if _id_in(line) in (key_id, "")]
        if key_id not in map(_id_in, kept):
            raise ConfigurationError(
                f"{self.name} has no key {key_id} any more; nothing was removed from it."
            )
        if len(kept) < len(lines):
            self._file.replace("\n".join(kept) + "\n")
        self.reload()

    def __repr__(self) -> str:
        return f"MasterKeys({self.name!r}, {len(self._ring)} keys)"

    def _newest(self) -> MasterKey:
        if not self._ring:
            raise ConfigurationError(
                f"{self.name} has no key; `abyssal secrets new-key` prints one to put there."
            )
        return self._keys[self._ring[-1]]


def open_master_keys(source: MasterKeySource, data: Path, environ: Mapping[str, str]) -> MasterKeys:
    """The ring of `[identity] master_key`. ConfigurationError when it cannot be read or is damaged.

    A file that is not there is made later, when the first key is needed: never in place of one that is lost.
    """
    if sum(map(bool, (source.file, source.env, source.command))) > 1:
        raise ConfigurationError("identity.master_key: set one of file, env and command, not several")
    if source.env:
        return MasterKeys(_Variable(source.env, environ))
    if source.command:
        return MasterKeys(_Command(source.command, environ))
    path = Path(os.path.expanduser(source.file)) if source.file else data / FILE_NAME
    return MasterKeys(KeyFile(path))


def ring_line() -> str:
    """A fresh key as a line of the ring."""
    key_id = f"mk_{secrets.token_hex(10)}"
    return f"{key_id} {base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def parse_ring(text: str, where: str) -> list[MasterKey]:
    """The keys of a ring's text, in its order. ConfigurationError names the line, never what is in it."""
    keys: dict[str, MasterKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not (content := _content(line)):
            continue
        key_id, _, encoded = content.partition(" ")
        key = _decoded(encoded.strip())
        if not is_key_id(key_id) or key is None:
            raise ConfigurationError(
                f"{where}: line {number} is no key. A key is `mk_<hex id> <base64 of 32 bytes>`, as "
                "`abyssal secrets new-key` prints it; put back what stood there."
            )
        if key_id in keys:
            raise ConfigurationError(f"{where}: line {number} has the id of an earlier line; ids are unique")
        keys[key_id] = MasterKey(key_id, key)
    return list(keys.values())


class _Variable:
    """An environment variable; it cannot change while a process runs."""

    def __init__(self, variable: str, environ: Mapping[str, str]) -> None:
        self.name = f"identity.master_key: the environment variable {variable}"
        self._text = environ.get(variable, "")

    def read(self) -> str:
        if not self._text.strip():
            raise ConfigurationError(
                f"{self.name} is not set; `abyssal secrets new-key` prints a key to put there"
            )
        return self._text


class _Command:
    """A command that prints the ring. It runs without a shell; what it says on standard error is dropped."""

    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.name = f"identity.master_key: the command {command[0]}"
        self._command = command
        self._environ = dict(environ)

    def read(self) -> str:
        try:
            done = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # secret managers print secrets there too
                env=self._environ,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except OSError as error:
            raise ConfigurationError(f"{self.name} cannot be started ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"{self.name} did not end within {_COMMAND_SECONDS:.0f} s") from None
        if done.returncode != 0:
            raise ConfigurationError(
                f"{self.name} ended with code {done.returncode}; run it by hand to see why"
            )
        text = done.stdout.decode("utf-8", "replace")
        if not text.strip():
            raise ConfigurationError(f"{self.name} printed nothing; it is to print the ring of master keys")
        return text


def _content(line: str) -> str:
    return line.partition("#")[0].strip()


def _id_in(line: str) -> str:
    return _content(line).partition(" ")[0]


def _decoded(encoded: str) -> bytes | None:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
