"""When a credential was last used at the control process's routes. Of calls the journal tells instead.

1. A use is noted in a transaction of its own, after the one that it was for, and once a minute at most.
2. A database that cannot take a note just now changes nothing for who asked. None is tried for a minute then:
   on SQLite a try may wait for another process's lock.
"""

from __future__ import annotations

import logging

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from abyssal.stores.sql.credentials import touch

_EVERY = 60 * 10**9  # nanoseconds

_log = logging.getLogger("abyssal.platform")


class LastUse:
    """See the module. Belongs to the thread that SQL is on."""

    def __init__(self) -> None:
        self._noted: set[str] = set()  # within the last minute
        self._since = 0
        self._failed = False  # in that minute

    def note(self, engine: Engine, credential: str, *, now_ns: int) -> None:
        """`credential` (its id) was used, at `now_ns` (Unix nanoseconds)."""
        if not 0 <= now_ns - self._since < _EVERY:
            self._noted, self._since, self._failed = set(), now_ns, False
        if self._failed or credential in self._noted:
            return
        try:
            with engine.begin() as connection:
                touch(connection, {credential: now_ns})
        except DBAPIError as error:
            self._failed = True
            _log.warning("the use of %s could not be noted: %s", credential, error.orig)
            return
        self._noted.add(credential)
