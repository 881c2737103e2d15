"""Who watches a database notices what others change, soon and surely, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from tests.services.postgres import PostgresCluster

from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.watch import ChangeWatch

OTHER_PROCESS = """
import sys, time
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.revision import next_revision

engine = open_database(sys.argv[1])
for line in sys.stdin:
    with engine.begin() as connection:
        next_revision(connection)
    print(time.monotonic(), flush=True)
"""


@pytest.fixture
def mine(each_database: str) -> Iterator[Engine]:
    engine = open_database(each_database, one_connection=True)
    yield engine
    engine.dispose()


@pytest.fixture
def watch(mine: Engine) -> Iterator[ChangeWatch]:
    watch = ChangeWatch(mine)
    yield watch
    watch.close()


def change(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        next_revision(connection)
    engine.dispose()


def noticed(watch: ChangeWatch, within: float = 5.0) -> float:
    """Wait until a change is noticed; monotonic seconds of when it was."""
    deadline = time.monotonic() + within
    while not watch.changed():
        assert time.monotonic() < deadline, "not noticed"
        time.sleep(0.005)
    return time.monotonic()


def test_another_process_s_change_is_noticed_at_once_and_once(each_database: str, watch: ChangeWatch) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, each_database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin
    assert other.stdout
    for _ in range(5):
        assert not watch.changed()
        other.stdin.write("\n")
        other.stdin.flush()
        seen = noticed(watch, 30)
        assert seen - float(other.stdout.readline()) < 0.3
    assert not watch.changed()
    other.communicate()
    assert other.returncode == 0


def test_many_changes_are_one(each_database: str, watch: ChangeWatch) -> None:
    for _ in range(20):
        change(each_database)
    noticed(watch)
    time.sleep(0.05)  # what is still on its way
    watch.changed()
    assert not watch.changed()


def test_what_is_taken_back_is_no_change(each_database: str, watch: ChangeWatch) -> None:
    other = open_database(each_database)
    with other.connect() as connection:
        next_revision(connection)
        connection.rollback()
    other.dispose()
    time.sleep(0.05)
    assert not watch.changed()


def test_a_closed_watch_leaves_the_engine_open(mine: Engine, watch: ChangeWatch) -> None:
    watch.close()
    with mine.begin() as connection:
        assert next_revision(connection) == 1


def test_one_s_own_changes_are_not_noticed_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> None:
    from abyssal.stores.sql.address import sqlite_url

    mine = open_database(sqlite_url(tmp_path_factory.mktemp("own") / "abyssal.db"), one_connection=True)
    watch = ChangeWatch(mine)
    with mine.begin() as connection:
        next_revision(connection)
    assert not watch.changed()
    mine.dispose()


@pytest.fixture
def listening(postgres_database: str) -> Iterator[ChangeWatch]:
    engine = open_database(postgres_database, one_connection=True)
    watch = ChangeWatch(engine)
    yield watch
    watch.close()
    engine.dispose()


def end_connections(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()


def test_a_lost_connection_is_made_anew(postgres_database: str, listening: ChangeWatch) -> None:
    end_connections(postgres_database)
    for _ in range(3):
        assert not listening.changed()
        time.sleep(0.02)
    change(postgres_database)
    noticed(listening)
    assert not listening.changed()


def test_what_changed_while_nobody_listened_is_noticed(
    postgres_database: str, listening: ChangeWatch
) -> None:
    end_connections(postgres_database)
    change(postgres_database)
    noticed(listening)
    assert not listening.changed()


def fault_of(watch: ChangeWatch) -> SQLAlchemyError | OSError:
    """The first fault; what was announced before the server went may be heard before it."""
    for _ in range(20):
        try:
            watch.changed()
        except (SQLAlchemyError, OSError) as fault:
            return fault
    raise AssertionError("no fault")


def test_a_server_that_is_away_is_an_error_until_it_is_back(
    postgres: PostgresCluster, postgres_database: str, listening: ChangeWatch
) -> None:
    change(postgres_database)
    postgres.stop()
    try:
        fault_of(listening)
        with pytest.raises((SQLAlchemyError, OSError)) as fault:
            listening.changed()
        assert postgres_database.partition("@")[0] not in str(fault.value)
    finally:
        postgres.start()
    listening.changed()
    change(postgres_database)
    noticed(listening)


def test_a_change_that_was_heard_with_the_end_of_the_connection_is_not_lost(
    postgres_database: str, listening: ChangeWatch
) -> None:
    """The announcement arrives, then the connection ends, before anybody looked."""
    change(postgres_database)
    time.sleep(0.05)
    end_connections(postgres_database)
    noticed(listening)


def test_looking_costs_next_to_nothing(watch: ChangeWatch) -> None:
    began = time.thread_time()
    for _ in range(200):
        assert not watch.changed()
    assert (time.thread_time() - began) / 200 < 0.002


def test_no_connection_is_left_behind(postgres_database: str) -> None:
    engine = open_database(postgres_database, one_connection=True)
    watch = ChangeWatch(engine)
    for _ in range(3):
        end_connections(postgres_database)
        change(postgres_database)
        noticed(watch)
    with engine.connect() as connection:
        mine = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        ).scalar_one()
    assert mine == 2
    watch.close()
    engine.dispose()
