"""When credentials were last used, written for many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from abyssal.stores.sql.credentials import CredentialRow, add_credential, has_credentials, touch
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.organizations import OrganizationRow, add_organization
from abyssal.stores.sql.projects import ProjectRow, add_project
from abyssal.stores.sql.schema import credentials


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(sqlite_url(tmp_path / "abyssal.db"))
    with made.begin() as connection:
        assert not has_credentials(connection)
        add_organization(connection, OrganizationRow("org_a", "a", None, None, None, 1))
        add_project(connection, ProjectRow("proj_a", "org_a", "a", None, None, None, 1), 7)
        for name in ("key_a", "key_b", "key_c"):
            row = CredentialRow(name, "api_key", "proj_a", None, name, ("chat",), None, None, 1)
            add_credential(connection, row, 7)
        assert has_credentials(connection)
    yield made
    made.dispose()


def used(engine: Engine) -> dict[str, int | None]:
    with engine.connect() as connection:
        rows = connection.execute(select(credentials.c.id, credentials.c.last_used_at))
        return {name: moment for name, moment in rows}


def test_only_forward_in_time(engine: Engine) -> None:
    for moments in ({"key_a": 50, "key_b": 60}, {"key_a": 40, "key_b": 70}, {}, {"key_gone": 1, "key_a": 50}):
        with engine.begin() as connection:
            touch(connection, moments)
    assert used(engine) == {"key_a": 50, "key_b": 70, "key_c": None}


def test_workers_need_not_know(engine: Engine) -> None:
    with engine.begin() as connection:
        touch(connection, {"key_a": 50})
        revisions = connection.execute(select(credentials.c.revision)).scalars().all()
    assert set(revisions) == {7}
