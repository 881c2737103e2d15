"""What a scripted upstream received: one request, and what became of its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec


class ReceivedRequest:
    """A complete request. Safe to read from any thread; only the upstream writes to it.

    `method` and `target` are as sent, `path` is the target without its query, `headers` are the pairs in the
    order and spelling in which they came. `connection` counts the accepted connections from 1, so two
    requests with the same number shared a socket. `received_at` is a `time.monotonic()` reading.
    """

    __slots__ = (
        "_fields",
        "answered",
        "body",
        "bytes_sent",
        "closed_at",
        "closed_by_peer",
        "connection",
        "headers",
        "method",
        "path",
        "received_at",
        "target",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: str,
        version: str,
        headers: list[tuple[str, str]],
        body: bytes,
        connection: int,
    ) -> None:
        self.method = method
        self.target = target
        self.path = target.partition("?")[0]
        self.version = version
        self.headers = headers
        self.body = body
        self.connection = connection
        self.received_at = time.monotonic()
        self.bytes_sent = 0
        """Bytes of the answer, head included, that were handed to the socket's buffer so far."""
        self.answered = threading.Event()
        """Set when the whole scripted answer (or the whole of a scripted fault) was sent."""
        self.closed_by_peer = threading.Event()
        """Set when the peer closed its side, or the connection, before the answer was complete."""
        self.closed_at: float | None = None
        """The `time.monotonic()` reading at which the peer closed; None while it has not."""
        self._fields: dict[str, Any] | None = None

    def header(self, name: str) -> str | None:
        """The value of the only header of that name, in any letter case; None if there is none.

        ValueError if it came more than once: look at `headers` then.
        """
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(found) > 1:
            raise ValueError(f"header {name!r} came {len(found)} times: {found}")
        return found[0] if found else None

    def json(self) -> Any:
        """The body decoded as JSON; `msgspec.DecodeError` if it is none."""
        return msgspec.json.decode(self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """The body's JSON object, decoded once; empty where the body is anything else."""
        if self._fields is None:
            try:
                decoded = msgspec.json.decode(self.body)
            except msgspec.DecodeError:
                decoded = None
            self._fields = cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}
        return self._fields

    @property
    def wants_stream(self) -> bool:
        """Whether the body says ``"stream": true``."""
        return self.fields.get("stream") is True

    def wait_answered(self, timeout: float = 5.0) -> None:
        """Wait until the answer was sent whole; TimeoutError after `timeout` seconds."""
        self._wait(self.answered.wait, "was not answered in full", timeout)

    def wait_closed(self, timeout: float = 5.0) -> float:
        """Wait until the peer closed before the answer was complete.

        Returns the `time.monotonic()` reading of that moment; TimeoutError after `timeout` seconds.
        """
        self._wait(self.closed_by_peer.wait, "was not closed by the peer", timeout)
        assert self.closed_at is not None
        return self.closed_at

    def _wait(self, wait: Callable[[float], bool], what: str, timeout: float) -> None:
        if not wait(timeout):
            raise TimeoutError(f"{self!r} {what} within {timeout} s; {self.bytes_sent} bytes were sent")

    def __repr__(self) -> str:
        return f"<{self.method} {self.target} on connection {self.connection}, {len(self.body)} bytes>"
