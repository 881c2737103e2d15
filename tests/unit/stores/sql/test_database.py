"""The SQLite database: keys, usage, and who notices a change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from abyssal.stores.api_keys import digest_of
from abyssal.stores.records import Settled
from abyssal.stores.snapshot import KeyRecord
from abyssal.stores.sql.database import ChangeWatch, open_database
from abyssal.stores.sql.keys import KeyStore
from abyssal.stores.sql.usage import UsageStore, UsageTotal
from abyssal.wire.errors import ConfigurationError


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "abyssal.db")
    yield engine
    engine.dispose()


def settled(call: str, model: str = "m", tokens: int = 3) -> Settled:
    return Settled(call, 1, "k", model, "up", True, 200, "", tokens, 2, 1, 0, True, 10, 20)


def test_a_database_is_private_and_keeps_a_write_ahead_log(engine: Engine, tmp_path: Path) -> None:
    assert (tmp_path / "abyssal.db").stat().st_mode & 0o777 == 0o600
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_it_is_opened_again_with_what_was_in_it(engine: Engine, tmp_path: Path) -> None:
    KeyStore(engine).add("first", "sk-1", now_ns=1)
    again = open_database(tmp_path / "abyssal.db")
    assert [row.name for row in KeyStore(again).list()] == ["first"]
    again.dispose()


@pytest.mark.parametrize("what", ["directory", "no database", "nowhere"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "abyssal.db"
    if what == "directory":
        path.mkdir()
    elif what == "no database":
        path.write_bytes(b"this is no database at all " * 100)
    else:
        path = tmp_path / "nowhere" / "abyssal.db"
    with pytest.raises(ConfigurationError, match=r"abyssal\.db: the database cannot be opened"):
        open_database(path)


def test_keys_are_kept_as_digests_only(engine: Engine, tmp_path: Path) -> None:
    keys = KeyStore(engine)
    row = keys.add("first", "sk-secret-0123456789", now_ns=7)
    assert (row.name, row.hint, row.created_at, row.revoked_at) == ("first", "6789", 7, None)
    assert keys.live() == (KeyRecord(row.id, "first", digest_of("sk-secret-0123456789")),)
    engine.dispose()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sk-secret" not in stored


def test_revoking(engine: Engine) -> None:
    keys = KeyStore(engine)
    first, second = keys.add_many([("a", "sk-1"), ("b", "sk-2")], now_ns=1)
    assert keys.revoke(first.id, now_ns=9)
    assert not keys.revoke(first.id, now_ns=10)
    assert not keys.revoke("key_nobody", now_ns=10)
    assert [key.id for key in keys.live()] == [second.id]
    assert {row.id: row.revoked_at for row in keys.list()} == {first.id: 9, second.id: None}


def test_many_keys_at_once(engine: Engine) -> None:
    keys = KeyStore(engine)
    rows = keys.add_many([(f"n{number}", f"sk-{number}") for number in range(2000)], now_ns=1)
    assert len({row.id for row in rows}) == len(keys.live()) == 2000


def test_a_row_of_usage_is_taken_once(engine: Engine) -> None:
    usage = UsageStore(engine)
    usage.add([settled("a"), settled("b", tokens=10), settled("c", "other")])
    usage.add([settled("a", tokens=999), settled("d")])
    usage.add([])
    assert usage.totals() == [UsageTotal("m", 3, 16, 6), UsageTotal("other", 1, 3, 2)]


def test_columns_are_the_record_s_fields_in_its_order(engine: Engine) -> None:
    UsageStore(engine).add([settled("a")])
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM usage")).mappings().one()
    assert list(row) == list(Settled.__struct_fields__)
    assert row["prompt_tokens"] == 3
    assert row["total_us"] == 20


def test_the_largest_numbers_that_a_record_may_hold(engine: Engine) -> None:
    usage = UsageStore(engine)
    usage.add([settled("a", tokens=2**48), settled("b", tokens=2**48)])
    assert usage.totals()[0].prompt_tokens == 2**49


def test_another_s_change_is_noticed_once_and_one_s_own_never(tmp_path: Path) -> None:
    mine = open_database(tmp_path / "abyssal.db", one_connection=True)
    other = open_database(tmp_path / "abyssal.db")
    watch = ChangeWatch(mine)
    assert not watch.changed()
    KeyStore(other).add("new", "sk-new", now_ns=1)
    assert watch.changed()
    assert not watch.changed()
    KeyStore(mine).add("own", "sk-own", now_ns=1)
    UsageStore(mine).add([settled("a")])
    assert not watch.changed()
    assert len(KeyStore(mine).live()) == 2
    mine.dispose()
    other.dispose()
