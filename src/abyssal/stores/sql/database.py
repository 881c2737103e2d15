"""Opens the database and knows when somebody else changed it. It does not know what the tables mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from abyssal.stores.sql.schema import metadata
from abyssal.wire.errors import ConfigurationError


def open_database(path: Path, *, one_connection: bool = False) -> Engine:
    """The SQLite database at `path`, made with its tables when it is new (WAL, mode 600).

    `one_connection` is for a thread that wants `ChangeWatch` to tell its own changes from others'.
    Raises ConfigurationError when the file cannot be used.
    """
    pool = StaticPool if one_connection else None
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30}, poolclass=pool)
    event.listen(engine, "connect", _prepare_sqlite)
    try:
        metadata.create_all(engine)
    except DatabaseError as error:
        engine.dispose()
        raise ConfigurationError(
            f"{path}: the database cannot be opened ({error.orig}); check the file and its directory"
        ) from None
    path.chmod(0o600)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


class ChangeWatch:
    """Tells whether another connection or process changed the database since the last look."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._version = self._read()

    def changed(self) -> bool:
        """True once per change by any other connection (SQLite `data_version`)."""
        version = self._read()
        changed, self._version = version != self._version, version
        return changed

    def _read(self) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(text("PRAGMA data_version")).scalar_one())
