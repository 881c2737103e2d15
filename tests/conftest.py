"""For every test: what a shell may have set for its background jobs is set back, and servers for who asks."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from .services.databases import each_database
from .services.node import node_client
from .services.postgres import postgres, postgres_database, postgres_url
from .services.redis import redis_server, redis_url

__all__ = [
    "each_database",
    "node_client",
    "postgres",
    "postgres_database",
    "postgres_url",
    "redis_server",
    "redis_url",
]


# How fast a machine makes examples says nothing about what is tested.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_configure(config: pytest.Config) -> None:
    """A job that a shell started in the background ignores Ctrl-C, and so would every process under test."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
