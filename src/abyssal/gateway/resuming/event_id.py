"""What names a place in a stream: `WORKER.TOKEN.NUMBER`. Pure.

`WORKER` is the place of the worker that has the stream, `TOKEN` 128 random bits in base64url, `NUMBER` how
many events there were up to this one, 0 before the first. It is written in one way only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TOKEN_BYTES = 16

_EVENT_ID = re.compile(rb"(0|[1-9][0-9]{0,3})\.([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,8})")


class EventId(NamedTuple):
    """An id, taken apart."""

    worker: int
    token: bytes
    number: int


def parse_event_id(value: bytes) -> EventId | None:
    """What `value` names; None when it is no event id."""
    found = _EVENT_ID.fullmatch(value)
    return EventId(int(found[1]), found[2], int(found[3])) if found else None


def stem(worker: int, token: bytes) -> bytes:
    """What all ids of a stream begin with; the number follows."""
    return b"%d.%b." % (worker, token)
