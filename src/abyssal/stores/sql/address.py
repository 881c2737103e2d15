"""Which database, and how its address is written and shown. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from abyssal.config import StoresConfig
from abyssal.wire.errors import ConfigurationError

VARIABLE = "ABYSSAL_DATABASE_URL"
FILE = "abyssal.db"
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")
_SQLITE = ("sqlite", "sqlite+pysqlite")


def database_url(config: StoresConfig, data: Path, environ: Mapping[str, str]) -> str:
    """The configuration's `database_url`, else ABYSSAL_DATABASE_URL, else a SQLite file in `data`."""
    given = config.database_url.reveal() if config.database_url else environ.get(VARIABLE, "").strip()
    return given or sqlite_url(data / FILE)


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def parse_database_url(url: str) -> URL:
    """What `url` names, with the driver that is used for it.

    Raises ConfigurationError for anything but a SQLite file or a PostgreSQL database. A text that cannot be
    read is not repeated: it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "database_url: not an address; write sqlite:////path/abyssal.db or "
            "postgresql://user:password@host:5432/name (%40 for @ in a password)"
        ) from None
    if parsed.drivername in _POSTGRESQL:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _SQLITE:
        raise ConfigurationError(
            f"database_url: {parsed.drivername!r} is not supported; use sqlite:/// or postgresql://"
        )
    if parsed.host or parsed.query or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "database_url: name a file and nothing else; write sqlite:////path/abyssal.db (four slashes)"
        )
    return parsed.set(drivername="sqlite+pysqlite")


def shown(url: URL) -> str:
    """`url` for messages: the file's path, or the address without password and parameters."""
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    plain = url.set(drivername="postgresql", query={})
    return plain.render_as_string(hide_password=True)
