"""Uses of a credential are noted once a minute, and never at the expense of who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from abyssal.platform.last_use import LastUse
from abyssal.stores.sql.credentials import CredentialRow, add_credential
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.organizations import OrganizationRow, add_organization
from abyssal.stores.sql.projects import ProjectRow, add_project
from abyssal.stores.sql.schema import credentials

SECOND = 10**9


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(sqlite_url(tmp_path / "abyssal.db"))
    with made.begin() as connection:
        add_organization(connection, OrganizationRow("org_a", "a", None, None, None, 1))
        add_project(connection, ProjectRow("proj_a", "org_a", "a", None, None, None, 1), 7)
        row = CredentialRow("key_a", "api_key", "proj_a", None, "a", ("chat",), None, None, 1)
        add_credential(connection, row, 7)
    yield made
    made.dispose()


def used(engine: Engine) -> int | None:
    with engine.connect() as connection:
        return connection.execute(select(credentials.c.last_used_at)).scalar_one()


def test_once_a_minute(engine: Engine) -> None:
    uses, written = LastUse(), 0

    @event.listens_for(engine, "commit")
    def count(_: object) -> None:
        nonlocal written
        written += 1

    for second in range(100, 220):
        uses.note(engine, "key_a", now_ns=second * SECOND)
    assert (written, used(engine)) == (2, 160 * SECOND)
    uses.note(engine, "key_a", now_ns=50 * SECOND)  # the clock was set back
    assert used(engine) == 160 * SECOND


def test_a_database_that_takes_nothing(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    uses = LastUse()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")
    uses.note(engine, "key_a", now_ns=100 * SECOND)
    assert "the use of key_a could not be noted" in caplog.text
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=0")
    uses.note(engine, "key_a", now_ns=159 * SECOND)
    assert used(engine) is None
    uses.note(engine, "key_a", now_ns=160 * SECOND)
    assert used(engine) == 160 * SECOND
