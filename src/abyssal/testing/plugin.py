"""The pytest plugin: fixtures that put a scripted upstream, a real server and a client into a test.

    abyssal_models     names that the server offers; override it in a test module to change them
    abyssal_upstream   a ScriptedUpstream, started
    abyssal_server     a real `abyssal serve` process in front of that upstream
    abyssal_client     a DeepSeekClient that talks to that server

All are made anew for each test: what one test does to health, caches or scripts never reaches the next.
pytest loads this module in every run, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from abyssal import DeepSeekClient
    from abyssal.testing.running_server import RunningServer
    from abyssal.testing.upstream import ScriptedUpstream


@pytest.fixture
def abyssal_models() -> Sequence[str]:
    """Names of the models that `abyssal_server` offers."""
    return ("deepseek-chat", "deepseek-reasoner", "deepseek-flash", "deepseek-v4-pro")


@pytest.fixture
def abyssal_upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream on a free loopback port; it echoes until told otherwise."""
    from abyssal.testing.upstream import ScriptedUpstream

    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def abyssal_server(
    abyssal_upstream: ScriptedUpstream,
    abyssal_models: Sequence[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    """A real server process in front of `abyssal_upstream`.

    The test fails if the process dies, does not stop with exit status 0 on SIGTERM, or leaves a child.
    """
    from abyssal.testing.configuration import gateway_config
    from abyssal.testing.running_server import RunningServer

    config = gateway_config(abyssal_upstream, abyssal_models)
    with RunningServer(config, tmp_path_factory.mktemp("abyssal-data")) as server:
        yield server


@pytest.fixture
def abyssal_client(abyssal_server: RunningServer) -> Iterator[DeepSeekClient]:
    """A client of `abyssal_server`, closed after the test."""
    from abyssal import DeepSeekClient

    with DeepSeekClient(api_key=abyssal_server.api_key, base_url=abyssal_server.base_url) as client:
        yield client
