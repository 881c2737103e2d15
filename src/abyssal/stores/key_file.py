"""A small file that nobody else may read: read, made once, replaced whole. It does not know what is in it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from abyssal.wire.errors import ConfigurationError

_MOST = 1024 * 1024  # bytes; a ring has some hundred
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFile:
    """A file of mode 600 at `path`. It is on the disk before a method that writes returns."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def read(self) -> str:
        """The text, "" when there is no file. ConfigurationError when it cannot be read, or others can."""
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_MOST)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigurationError(f"{self.name}: cannot be read ({error.strerror})") from None
        if os.name == "posix" and mode & _OTHERS:
            raise ConfigurationError(
                f"{self.name}: others can read it (mode {stat.S_IMODE(mode):03o}). Take that away: chmod 600 "
                f"{self.name}; and if somebody may have read it, run `abyssal secrets rewrap` next."
            )
        if not content.strip():
            raise ConfigurationError(f"{self.name}: is empty; put back what was in it")
        return content.decode("utf-8", "replace")

    def create(self, text: str) -> None:
        """Make the file; one that somebody else made in the meantime stays as it is."""
        partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            self._write(partial, text)
            try:
                os.link(partial, self._path)  # whole or not at all, and never over another
            except FileExistsError:
                pass
            self._settle()
        except OSError as error:
            raise ConfigurationError(
                f"{self.name}: cannot be made ({error.strerror}); check its directory"
            ) from None
        finally:
            partial.unlink(missing_ok=True)

    def replace(self, text: str) -> None:
        """Put `text` in place of what is there, at once. Only one process at a time may."""
        target = self._path.resolve()  # a link goes on pointing to where it does
        partial = target.with_name(f".{target.name}.new")
        try:
            partial.unlink(missing_ok=True)
            self._write(partial, text)
            partial.replace(target)
            self._settle()
        except OSError as error:
            raise ConfigurationError(
                f"{self.name}: cannot be replaced ({error.strerror}); nothing was changed in it. Where it is "
                "read-only, put another key on its last line yourself."
            ) from None

    @staticmethod
    def _write(path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)

    def _settle(self) -> None:
        """Make the directory's entry last, too: what a lost key has sealed is lost with it."""
        if os.name != "posix":
            return
        descriptor = os.open(self._path.resolve().parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
