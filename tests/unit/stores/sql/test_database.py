"""What is particular to the SQLite file: who may read it, its log, and who holds its one write lock."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import OperationalError

from abyssal.stores.sql.database import migration_status, open_database, sqlite_url
from abyssal.stores.sql.schema import revisions
from abyssal.wire.errors import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "abyssal.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


def test_a_database_is_private_and_keeps_a_write_ahead_log(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(update(revisions).values(value=5))
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["abyssal.db", "abyssal.db-shm", "abyssal.db-wal"]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_file_that_everybody_could_read_is_made_private(path: Path) -> None:
    path.touch(0o644)
    open_database(sqlite_url(path)).dispose()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["a b.db", "50%.db", "what?.db", "名#1.db", "a&b=c;d.db"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    url = sqlite_url(tmp_path / name)
    open_database(url).dispose()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert migration_status(url).database == str(tmp_path / name)


@pytest.mark.parametrize("what", ["directory", "no database", "nowhere"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, path: Path, what: str) -> None:
    if what == "directory":
        path.mkdir()
    elif what == "no database":
        path.write_bytes(b"this is no database at all " * 100)
    else:
        path = tmp_path / "nowhere" / "abyssal.db"
    with pytest.raises(ConfigurationError, match=r"abyssal\.db: the database cannot be opened"):
        open_database(sqlite_url(path))
    if what == "no database":
        with pytest.raises(ConfigurationError, match=r"abyssal\.db: the database cannot be opened"):
            migration_status(sqlite_url(path))


def test_asking_for_what_is_not_there_makes_no_file(path: Path) -> None:
    assert migration_status(sqlite_url(path)).current == ""
    with pytest.raises(ConfigurationError, match="there is no database"):
        open_database(sqlite_url(path), migrate=False)
    assert not path.exists()


def test_who_begins_holds_the_write_lock_before_it_reads(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(select(revisions)).all()
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("UPDATE revisions SET value = 9")
        connection.execute(update(revisions).values(value=1))
    with closing(sqlite3.connect(path, timeout=0)) as other:
        assert other.execute("SELECT value FROM revisions").fetchall() == [(1,)]


def test_who_only_reads_holds_none(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(revisions.c.value)).scalar_one() == 0
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("UPDATE revisions SET value = 9")
        # One view from its first look to its end.
        assert connection.execute(select(revisions.c.value)).scalar_one() == 0
    with engine.connect() as connection:
        assert connection.execute(select(revisions.c.value)).scalar_one() == 9


def test_reading_and_then_writing_is_one_step_for_all(path: Path) -> None:
    """Four threads read a number and write the next; none is lost, none finds the file locked."""
    engines = [open_database(sqlite_url(path)) for _ in range(4)]

    def count(engine: Engine) -> None:
        for _ in range(25):
            with engine.begin() as connection:
                value = connection.execute(select(revisions.c.value)).scalar_one()
                connection.execute(update(revisions).values(value=value + 1))

    threads = [threading.Thread(target=count, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engines[0].connect() as connection:
        assert connection.execute(select(revisions.c.value)).scalar_one() == 100
    for engine in engines:
        engine.dispose()


def test_a_failure_to_begin_leaves_the_connection_usable(path: Path) -> None:
    engine = open_database(sqlite_url(path), one_connection=True)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA busy_timeout = 1"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"), engine.begin():
            pytest.fail("it began")
        with engine.connect() as connection:
            assert connection.execute(select(revisions.c.value)).scalar_one() == 0
        other.execute("ROLLBACK")
    with engine.begin() as connection:
        connection.execute(update(revisions).values(value=3))
    engine.dispose()


def test_a_transaction_within_another_on_one_connection_is_refused(path: Path) -> None:
    """It would end the outer one without a word."""
    engine = open_database(sqlite_url(path), one_connection=True)
    with engine.begin() as outer:
        outer.execute(update(revisions).values(value=1))
        with pytest.raises(OperationalError, match="within a transaction"), engine.begin():
            pytest.fail("it began")
    engine.dispose()


def test_opening_twice_in_a_process_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """Otherwise another process that comes and goes takes the write-ahead log away under the first."""
    url = sqlite_url(tmp_path / "abyssal.db")
    first, second = open_database(url, one_connection=True), open_database(url, migrate=False)

    def elsewhere(statement: str) -> str:
        code = f"import sqlite3; print(sqlite3.connect({str(tmp_path / 'abyssal.db')!r}).execute({statement!r}).fetchone())"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    with first.begin() as connection:
        connection.execute(text("UPDATE revisions SET value = 7"))
    elsewhere("SELECT 1 FROM revisions")
    with first.begin() as connection:
        connection.execute(text("UPDATE revisions SET value = 8"))
    assert elsewhere("SELECT value FROM revisions") == "(8,)\n"
    for engine in (first, second):
        engine.dispose()
