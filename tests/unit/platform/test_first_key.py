"""A new platform has one key: the operator's own, or a fresh one in a private file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.platform.first_key import FILE_NAME, FirstKey, ensure_first_key
from abyssal.stores.api_keys import digest_of
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.keys import KeyStore
from abyssal.wire.errors import ConfigurationError

GIVEN = "my-own-key-0123456789"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    engine = open_database(tmp_path / "abyssal.db")
    yield KeyStore(engine)
    engine.dispose()


def test_one_is_made_and_kept_privately(keys: KeyStore, tmp_path: Path) -> None:
    first = ensure_first_key(keys, tmp_path, "", now_ns=5)
    assert first.made
    assert first.key is not None
    assert first.key.startswith("sk-")
    file = tmp_path / FILE_NAME
    assert file.read_text() == first.key + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [key.digest for key in keys.live()] == [digest_of(first.key)]


def test_a_given_one_is_taken_and_not_written(keys: KeyStore, tmp_path: Path) -> None:
    assert ensure_first_key(keys, tmp_path, GIVEN, now_ns=5) == FirstKey(GIVEN, made=False)
    assert not (tmp_path / FILE_NAME).exists()
    assert [key.digest for key in keys.live()] == [digest_of(GIVEN)]


@pytest.mark.parametrize("given", ["", GIVEN, "short"])
def test_where_there_are_keys_nothing_is_done(keys: KeyStore, tmp_path: Path, given: str) -> None:
    keys.add("mine", "sk-already-there-012345", now_ns=1)
    assert ensure_first_key(keys, tmp_path, given, now_ns=5) == FirstKey(None)
    assert len(keys.list()) == 1


def test_a_revoked_key_is_a_key(keys: KeyStore, tmp_path: Path) -> None:
    row = keys.add("mine", "sk-already-there-012345", now_ns=1)
    keys.revoke(row.id, now_ns=2)
    assert ensure_first_key(keys, tmp_path, "", now_ns=5) == FirstKey(None)


@pytest.mark.parametrize("given", ["short", "has a blank in it 012345", "x" * 513, "línea-0123456789012345"])
def test_a_given_one_that_is_no_key_is_refused(keys: KeyStore, tmp_path: Path, given: str) -> None:
    with pytest.raises(ConfigurationError, match="ABYSSAL_API_KEY") as refusal:
        ensure_first_key(keys, tmp_path, given, now_ns=5)
    assert given not in refusal.value.message
    assert keys.list() == []


def test_a_file_of_a_crash_before_is_replaced(keys: KeyStore, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("sk-that-never-was-a-key")
    (tmp_path / FILE_NAME).chmod(0o644)
    first = ensure_first_key(keys, tmp_path, "", now_ns=5)
    assert (tmp_path / FILE_NAME).read_text().strip() == first.key
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(keys: KeyStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / FILE_NAME).symlink_to(victim)
    ensure_first_key(keys, tmp_path, "", now_ns=5)
    assert victim.read_text() == "precious"
