"""What nobody asks for: files whose time is over, and what a crash left on its way.

The bytes of a file that is removed go into transit first and away last, so that a crash in between leaves
nothing that `clear_transit` does not find.
"""

from __future__ import annotations

import logging

from sqlalchemy import Engine

from abyssal.platform.files.rules import id_of, key_of
from abyssal.stores.blobs import Blobs
from abyssal.stores.sql.files import expired_files, known_files, remove_files

_log = logging.getLogger("abyssal.files")

_AT_ONCE = 200  # files in one look; the next finds the rest
_PATIENCE = 3600  # seconds for which an upload may stand still before it is taken for dead


def remove_expired(engine: Engine, blobs: Blobs, *, now_ns: int) -> int:
    """Remove files that have expired, at most 200; how many. Raises OSError."""
    with engine.connect() as connection:
        found = expired_files(connection, now_ns=now_ns, count=_AT_ONCE)
    if not found:
        return 0
    for file_id in found:
        blobs.withdraw(key_of(file_id))
    with engine.begin() as connection:
        remove_files(connection, found)
    for file_id in found:
        blobs.remove(key_of(file_id))
    _log.info("%d files have expired and are removed", len(found))
    return len(found)


def clear_transit(engine: Engine, blobs: Blobs, *, now_ns: int) -> None:
    """See to what has been in transit for an hour: an owned file gets its place, the rest goes.

    Raises OSError.
    """
    keys = blobs.left_behind(now_ns / 1e9 - _PATIENCE)
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        with engine.connect() as connection:
            owned = known_files(connection, [id_of(key) for key in some])
        for key in some:
            if id_of(key) in owned:
                blobs.settle(key)
            else:
                blobs.remove(key)
