"""Serves the control plane's ASGI application on a Unix socket, for the workers alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path


class BackstageServer:
    """construct → `start` → `aclose`."""

    def __init__(
        self, path: Path, *, version: str, models: list[str], metrics: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._path = path
        self._version = version
        self._models = models
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen (mode 600)."""
        import uvicorn

        from abyssal.platform.http.app import build_app

        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Generator[None, None, None]:
                yield  # signals are the node's

        app = build_app(version=self._version, models=self._models, metrics=self._metrics)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self._path))
        self._path.chmod(0o600)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=300
        )
        self._server = Server(config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)

    async def aclose(self) -> None:
        """Stop."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
