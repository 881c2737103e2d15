"""Knows when somebody else changed the database. It does not know what the change was.

On SQLite the file's data version tells; it counts any change that another connection committed. On PostgreSQL
a connection of its own listens for what `revision.next_revision` announces, also this engine's own changes;
when that connection was lost, the newest revision is compared, so no change is missed.
"""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from abyssal.stores.sql.address import shown
from abyssal.stores.sql.revision import CHANNEL, current_revision

_ASKED = "PRAGMA data_version"


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
        self._lost = engine.dialect.loaded_dbapi.Error
        self._version = self._read()

    def changed(self) -> bool:
        version = self._read()
        changed, self._version = version != self._version, version
        return changed

    def close(self) -> None:
        """It holds nothing."""

    def _read(self) -> int:
        # Many times a second: asked of the driver, which takes a tenth of what a transaction around it does.
        driver = self._engine.raw_connection()
        try:
            return int(driver.cursor().execute(_ASKED).fetchone()[0])
        except self._lost as error:
            raise OperationalError(_ASKED, None, error) from None
        finally:
            driver.close()


class _Listener:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lost = engine.dialect.loaded_dbapi.Error
        self._driver: Any = None  # psycopg's connection, None while it is lost
        self._revision = self._listen()

    def changed(self) -> bool:
        if self._driver is not None:
            try:
                return self._heard()
            except self._lost:
                self.close()
        revision = self._listen()
        changed, self._revision = revision != self._revision, revision
        return changed

    def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _heard(self) -> bool:
        news = [int(notice.payload) for notice in self._driver.notifies(timeout=0)]
        self._revision = max([self._revision, *news])
        return bool(news)

    def _listen(self) -> int:
        """Listen, and give the revision that is newest from then on: a later one is heard."""
        dialect, url = self._engine.dialect, self._engine.url
        arguments, options = dialect.create_connect_args(url)
        try:
            self._driver = dialect.connect(*arguments, **options, autocommit=True)
            self._driver.execute(f"LISTEN {CHANNEL}")
            with self._engine.connect() as connection:
                return current_revision(connection)
        except self._lost as error:
            self.close()
            reason = " ".join(str(error).split())
            raise ConnectionError(f"{shown(url)}: cannot be reached ({reason}); check the server") from None
        except BaseException:
            self.close()
            raise
