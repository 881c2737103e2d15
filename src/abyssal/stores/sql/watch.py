"""Knows when somebody else changed the database. It does not know what the change was.

On SQLite the file's data version tells; it counts any change that another connection committed. On PostgreSQL
a connection of its own listens for what `revision.next_revision` announces, also this engine's own changes;
when that connection was lost, the newest revision is compared, so no change is missed.
"""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Connection, Engine, text

from abyssal.stores.sql.revision import CHANNEL, current_revision


class ChangeWatch:
    """One thread only. Changes count from its construction on: make it first, then read."""

    def __init__(self, engine: Engine) -> None:
        """`engine` of SQLite is one opened with `one_connection`. Raises SQLAlchemyError when unreachable."""
        listens = engine.dialect.name == "postgresql"
        self._watch: _Watch = _Listener(engine) if listens else _DataVersion(engine)

    def changed(self) -> bool:
        """True once per change, or several changes; it never waits for one.

        A lost connection is made anew. While the database cannot be reached: SQLAlchemyError or OSError; a
        later call that reaches it tells of what changed in between.
        """
        return self._watch.changed()

    def close(self) -> None:
        """Let go of the listening connection; the engine stays open."""
        self._watch.close()


class _Watch(Protocol):
    def changed(self) -> bool: ...

    def close(self) -> None: ...


class _DataVersion:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._version = self._read()

    def changed(self) -> bool:
        version = self._read()
        changed, self._version = version != self._version, version
        return changed

    def close(self) -> None:
        """It holds nothing."""

    def _read(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text("PRAGMA data_version")).scalar_one())


class _Listener:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._revision = self._listen()

    def changed(self) -> bool:
        if self._connection is not None:
            try:
                return self._heard(self._connection)
            except self._engine.dialect.loaded_dbapi.Error:
                self.close()
        revision = self._listen()
        changed, self._revision = revision != self._revision, revision
        return changed

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _heard(self, connection: Connection) -> bool:
        driver: Any = connection.connection.driver_connection
        news = [int(notice.payload) for notice in driver.notifies(timeout=0)]
        self._revision = max([self._revision, *news])
        return bool(news)

    def _listen(self) -> int:
        """Listen, and give the revision that is newest from then on: a later one is heard."""
        connection = self._engine.connect()
        try:
            connection.detach()  # the pool's others are not to be kept from theirs
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql(f"LISTEN {CHANNEL}")
            revision = current_revision(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return revision
