"""The server, and each test once for each kind of client and transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .face import WAYS, Face, opened_face
from .raw_server import RawServer
from .socket_server import SocketServer, socket_server


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def sockets() -> Iterator[SocketServer]:
    with socket_server() as server:
        yield server


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def face(server: RawServer, way: str) -> Iterator[Face]:
    with opened_face(way, server.url) as face:
        yield face
