"""An office for each test; see `office`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .office import Office, furnish, offices, sqlite_at


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Makes replicas that share a database in the test's folder, a master key and a clock."""
    with offices(sqlite_at(tmp_path), tmp_path) as make:
        yield make


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    """One replica with one organisation, project and client."""
    return furnish(make_office())
