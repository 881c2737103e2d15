"""Both databases, one after the other, for a suite that has to hold on each."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: the test runs on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        from abyssal.stores.sql.address import sqlite_url  # half a second, for those who use it

        return sqlite_url(tmp_path / "abyssal.db")
    return request.getfixturevalue("postgres_database")
