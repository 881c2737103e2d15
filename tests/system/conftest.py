"""One gateway for most cases: several upstreams by name, all of them the same scripted one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from abyssal.testing import RunningServer, ScriptedUpstream

from .calls import Gateway, table, upstream


@pytest.fixture(scope="package")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Models: `open` and `official` are patient, `hasty` and `silent` give up, `closed` listens to nobody.

    `played` is answered by the test itself, see `Gateway.accept`.
    """
    with (
        socket.socket() as unused,
        socket.create_server(("127.0.0.1", 0)) as listener,
        ScriptedUpstream(models=("upstream-model",)) as scripted,
    ):
        unused.bind(("127.0.0.1", 0))
        url = scripted.base_url
        config = (
            table("[server]", keep_alive_comment=0.5, stalled_reader_timeout=2.0)
            + upstream("open", url)
            + upstream("official", url, kind="deepseek")
            + upstream("hasty", url, first_byte_timeout=0.3, idle_timeout=0.3)
            + upstream("silent", url, first_byte_timeout=2.0, idle_timeout=2.0)
            + upstream("played", f"http://127.0.0.1:{listener.getsockname()[1]}")
            + upstream("closed", f"http://127.0.0.1:{unused.getsockname()[1]}")
            + table("[[models]]", name="upstream-model")
            + 'targets = [{ upstream = "open" }]\n'
        )
        with RunningServer(config, tmp_path_factory.mktemp("gateway")) as server:
            yield Gateway(server, scripted, listener)


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Iterator[Gateway]:
    """The shared gateway, asked to be as well after each case as it was before."""
    seen = len(shared_gateway.server.log())
    yield shared_gateway
    news = shared_gateway.server.log()[seen:]
    assert "Traceback" not in news, news
    assert shared_gateway.upstream.unused_answers == 0
