"""A worker process: inherits its sockets and its link, builds the data plane, serves until told to drain.

Started by the control process as `python -m abyssal.gateway.worker --link FD --listen FD`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from abyssal.clock import SystemClock
from abyssal.gateway.app import Gateway
from abyssal.gateway.link import (
    Claimed,
    Drain,
    EngineState,
    LinkProtocol,
    Publish,
    Serving,
    Setup,
    Thought,
    Told,
    ToWorker,
)
from abyssal.stores.journal import JournalFullError

if TYPE_CHECKING:
    from abyssal.gateway.front.tls import TlsContext

_SWEEP_EVERY = 1.0  # seconds
_TLS_GOODBYE = 2.0  # seconds for a client to close its side
_log = logging.getLogger("abyssal.gateway")


class Worker:
    """The life of one worker process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        self._loop = loop
        self._listening = listening
        self._gateway: Gateway | None = None
        self._server: asyncio.Server | None = None
        self._tls: TlsContext | None = None
        self._drain: asyncio.Task[None] | None = None
        self._start: asyncio.Task[None] | None = None
        self.link = LinkProtocol(ToWorker, self._take, self._lost)
        self.stopped = asyncio.Event()

    def _take(self, message: Any) -> None:
        match message:
            case Setup():
                link = self.link
                self._gateway = Gateway(
                    message, self._loop, link.send, SystemClock(), room=link.drain, offer=link.offer
                )
                if message.config.server.tls_cert:
                    from abyssal.gateway.front.tls import TlsContext

                    self._tls = TlsContext(message.config.server, SystemClock())
            case Publish() | EngineState() | Claimed() | Told() | Thought():
                assert self._gateway is not None
                self._gateway.take(message)
                if self._start is None and self._gateway.published:
                    self._start = self._loop.create_task(self._serve())
            case Drain(grace=grace):
                self.drain(grace)
            case _:
                raise TypeError(f"unexpected message {message!r}")

    def _lost(self) -> None:
        if self._gateway is not None:
            self._gateway.inquiries.close()
        self.drain(30.0)  # the control process is gone: finish what is at work, then go too

    async def _serve(self) -> None:
        gateway = self._gateway
        assert gateway is not None
        try:
            gateway.journal.prepare()
        except JournalFullError as error:
            _log.error("the journal cannot be written: %s", error)
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        tls = self._tls
        self._server = await self._loop.create_server(
            gateway.front.connection,
            sock=self._listening,
            backlog=4096,
            ssl=None if tls is None else tls.context,
            ssl_handshake_timeout=None if tls is None else gateway.front.limits.header,
            ssl_shutdown_timeout=None if tls is None else _TLS_GOODBYE,
        )
        if gateway.private_path:
            await self._loop.create_unix_server(gateway.private_front.connection, gateway.private_path)
        self._loop.call_later(_SWEEP_EVERY, self._sweep)
        self.link.send(Serving())

    def _sweep(self) -> None:
        gateway = self._gateway
        assert gateway is not None
        if self.stopped.is_set():
            return
        gateway.sweep()
        if self._tls is not None:
            self._tls.reload_if_changed()
        try:
            gateway.journal.prepare()
        except JournalFullError as error:
            _log.error("the journal cannot be written: %s", error)
        self.link.send(gateway.gauges())
        self._loop.call_later(_SWEEP_EVERY, self._sweep)

    def drain(self, grace: float) -> None:
        """Stop taking calls; exit when those at work have ended, or after `grace` seconds."""
        if self._drain is None:
            self._drain = self._loop.create_task(self._drain_and_stop(grace))

    async def _drain_and_stop(self, grace: float) -> None:
        gateway = self._gateway
        if self._server is not None:
            self._server.close()
        else:
            self._listening.close()
        if gateway is not None:
            gateway.drain()
            gateway.nonces.close()  # a successor needs the file, and no two may judge the same nonce
            deadline = self._loop.time() + grace
            while gateway.caps.in_flight and self._loop.time() < deadline:
                await asyncio.sleep(0.02)
            gateway.front.drain()
            gateway.private_front.drain()
            while gateway.busy and self._loop.time() < deadline:
                await asyncio.sleep(0.02)  # a settled answer may still be on its way to a slow reader
            await asyncio.sleep(0.05)  # let closings out
            gateway.close()
            await asyncio.sleep(0)
        self.stopped.set()


async def _run(link: socket.socket, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(loop, listening)
    loop.add_signal_handler(signal.SIGTERM, worker.drain, 30.0)
    await loop.create_connection(lambda: worker.link, sock=link)
    await worker.stopped.wait()
    worker.link.close()


def main(arguments: list[str] | None = None) -> None:
    """The process's entry."""
    parser = argparse.ArgumentParser(prog="abyssal.gateway.worker")
    parser.add_argument("--link", type=int, required=True, help="inherited descriptor of the link")
    parser.add_argument("--listen", type=int, required=True, help="inherited descriptor of the listener")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the control process decides
    link, listening = socket.socket(fileno=chosen.link), socket.socket(fileno=chosen.listen)
    for inherited in (link, listening):
        inherited.setblocking(False)
    if sys.platform != "win32":
        try:
            import uvloop

            uvloop.run(_run(link, listening))
            return
        except ModuleNotFoundError:
            pass  # slower, not different
    asyncio.run(_run(link, listening))


if __name__ == "__main__":
    main()
