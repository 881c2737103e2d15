"""A real Redis on a free port that keeps nothing: one per run, made at the first test that wants it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .debian import program
from .server import Server, free_port


class RedisServer:
    """A server on a free port of 127.0.0.1. `start` after `stop` brings an empty one back."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [program("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(directory), "--daemonize", "no"]
        self._server = Server(
            command, log=directory / "log", ready=self._ready, stop_with=signal.SIGTERM, cwd=directory
        )

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def flush(self) -> None:
        """Forget everything."""
        import redis  # only those who wait for a server wait for its client

        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def _ready(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server, running. A test that stops it starts it again."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of a Redis with nothing in it."""
    redis_server.flush()
    return redis_server.url
