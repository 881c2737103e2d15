"""Fake transports, and a loop whose time a test holds: what stands in for the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class HeldLoop(asyncio.SelectorEventLoop):
    """Time moves when a test moves it; connections are made by `dial`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.dial: Callable[[Callable[[], Any], str], Any]

    def time(self) -> float:
        return self.now

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self.dial(factory, f"{host}:{port}")

    async def create_unix_connection(self, factory: Any, path: Any = None, **_: Any) -> Any:
        return await self.dial(factory, path)


class Transport(asyncio.Transport):
    """Keeps what is written. While `stuck`, its peer reads nothing and what is written piles up here."""

    def __init__(self, protocol: Any, loop: HeldLoop, address: str = "") -> None:
        self.address = address
        super().__init__()
        self.protocol, self.loop = protocol, loop
        self.taken = bytearray()  # by the peer
        self.buffered = bytearray()
        self.stuck = self.closing = self.lost = self.ended = self.aborted = False
        self.reading = True
        self._full = False
        self._high, self._low = 65536, 16384

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high, self._low = high or 0, low or 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return len(self.buffered)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.address, 40000) if name == "peername" and self.address else default

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        if self.lost or self.aborted:
            return
        self.buffered += data
        if not self.stuck:
            self._flush()
        elif len(self.buffered) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def _flush(self) -> None:
        self.taken += self.buffered
        self.buffered.clear()
        if self.closing and not self.lost:
            self._lose(None)

    def unstick(self) -> None:
        """The peer reads again, all there is."""
        self.stuck = False
        self._flush()
        if self._full:
            self._full = False
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.buffered:
                self._lose(None)

    def abort(self) -> None:
        self.closing = self.aborted = True
        self.buffered.clear()
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self.protocol.connection_lost, error)

    # what the peer does

    def deliver(self, data: bytes) -> None:
        """Bytes from the peer, if anybody still listens."""
        if data and not self.closing:
            assert self.reading, "delivered to a paused transport: ask `reading` first"
            self.protocol.data_received(data)

    def peer_closes(self, error: Exception | None = None) -> None:
        if self.lost:
            return
        if error is None and not self.protocol.eof_received():
            self.close()
        elif error is not None:
            self.closing = True
            self._lose(error)
