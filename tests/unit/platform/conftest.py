"""A populated platform for each test of management; see `identity/tenants.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.platform.identity.tenants import World, populate, sqlite_world


@pytest.fixture(scope="session")
def tenants_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A populated data directory, to be copied."""
    folder = tmp_path_factory.mktemp("tenants")
    with sqlite_world(folder) as world:
        populate(world)
    return folder


@pytest.fixture
def world(tmp_path: Path, tenants_template: Path) -> Iterator[World]:
    with sqlite_world(tmp_path, tenants_template) as made:
        yield made
