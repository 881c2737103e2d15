"""Serves the control plane's ASGI application on a Unix socket, for the workers alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class BackstageServer:
    """construct → `start` → `aclose`. `build` makes the application, when there is time to import it."""

    def __init__(self, path: Path, build: Callable[[], ASGIApp]) -> None:
        self._path = path
        self._build = build
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen (mode 600)."""
        import uvicorn

        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Generator[None, None, None]:
                yield  # signals are the node's

        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self._path))
        self._path.chmod(0o600)
        config = uvicorn.Config(
            self._build(), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=300
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
