"""How events stand in the bytes of a stream, and how their ids are written into it."""

from __future__ import annotations

import re
from typing import Protocol

from abyssal.wire.official_stream import split_events, whole_events

_OTHER_ID = re.compile(rb"^id(?::[^\n]*)?\r?\n", re.MULTILINE)


class Form(Protocol):
    """One way to write events. Pure. `begins_with_id`: a stream's head tells an id before the first event."""

    @property
    def begins_with_id(self) -> bool: ...

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The events in `data`, and what is there only to keep a connection open.

        Raises ValueError when `data` does not end with an event.
        """
        ...

    def numbered(self, event: bytes, event_id: bytes) -> bytes:
        """An event as the client gets it."""
        ...

    def whole(self, data: bytes) -> int:
        """The number of bytes at the start of `data`, of a stream with ids, that are whole events."""
        ...

    def farewell(self, request_id: str) -> bytes:
        """What ends the answer of a reader that another one has replaced; b"" when its connection is cut."""
        ...


class ServerSentEvents:
    """WHATWG HTML, section 9.2. The last `id` of an event is in force, so an upstream's own are left out."""

    begins_with_id = True

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        events: list[bytes] = []
        comments = b""
        if whole_events(data) < len(data):
            raise ValueError("half an event")
        for event in split_events(data):
            if event.startswith(b":") and b"\ndata:" not in event:
                comments += event
                continue
            if event.startswith(b"id") or b"\nid" in event:
                event = _OTHER_ID.sub(b"", event)
            events.append(event)
        return events, comments

    def numbered(self, event: bytes, event_id: bytes) -> bytes:
        return b"id: %b\n%b" % (event_id, event)

    def whole(self, data: bytes) -> int:
        return whole_events(data)

    def farewell(self, request_id: str) -> bytes:
        return b""  # an end that looks whole would be taken for one
