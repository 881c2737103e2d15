"""Bytes of stored files: whole or not at all, and nothing is left behind that is not found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from abyssal.stores.blobs import BlobDirectory

KEY = "ab12cd34ab12cd34"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    return BlobDirectory(tmp_path / "deep" / "files")


def received(blobs: BlobDirectory, content: bytes = b"content") -> None:
    arriving = blobs.receive(KEY)
    arriving.write(content)
    arriving.complete()


def all_files(blobs: BlobDirectory) -> list[Path]:
    return [path for path in blobs._root.rglob("*") if path.is_file()]


def test_what_settled_is_found(blobs: BlobDirectory) -> None:
    received(blobs)
    blobs.settle(KEY)
    assert blobs.find(KEY).read_bytes() == b"content"
    assert blobs.find(KEY).parent.name == "12"
    assert blobs.left_behind(float("inf")) == []


def test_what_is_not_complete_can_be_dropped_any_number_of_times(blobs: BlobDirectory) -> None:
    arriving = blobs.receive(KEY)
    arriving.write(b"half")
    arriving.drop()
    arriving.drop()
    assert all_files(blobs) == []
    received(blobs)


def test_one_key_is_received_once(blobs: BlobDirectory) -> None:
    received(blobs)
    with pytest.raises(FileExistsError):
        blobs.receive(KEY)


def test_before_and_after_its_place_it_is_found_too(blobs: BlobDirectory) -> None:
    received(blobs)
    assert blobs.find(KEY).read_bytes() == b"content"
    blobs.settle(KEY)
    blobs.withdraw(KEY)
    assert blobs.find(KEY).read_bytes() == b"content"
    blobs.withdraw(KEY)  # again, after a crash
    blobs.settle(KEY)
    assert blobs.find(KEY).read_bytes() == b"content"


@pytest.mark.parametrize("where", ["transit", "place", "nowhere"])
def test_removed_is_removed_wherever_it_is(blobs: BlobDirectory, where: str) -> None:
    if where != "nowhere":
        received(blobs)
    if where == "place":
        blobs.settle(KEY)
    blobs.remove(KEY)
    with pytest.raises(FileNotFoundError):
        blobs.find(KEY)
    assert all_files(blobs) == []


def test_what_was_left_is_listed_by_age(blobs: BlobDirectory) -> None:
    assert blobs.left_behind(float("inf")) == []
    received(blobs)
    os.utime(blobs.find(KEY), (1000, 1000))
    (blobs._transit / "not-a-key").write_bytes(b"")
    assert blobs.left_behind(1000) == []
    assert blobs.left_behind(1001) == [KEY]


def test_a_withdrawal_counts_from_now(blobs: BlobDirectory) -> None:
    received(blobs)
    blobs.settle(KEY)
    os.utime(blobs.find(KEY), (1000, 1000))
    blobs.withdraw(KEY)
    assert blobs.left_behind(1_000_000_000) == []


@pytest.mark.parametrize("key", ["", "..", "../../x", "ABCDEF12", "abcdefgh", "ab12cd34/..", "ab\0cd12ef"])
def test_no_path_can_be_made_of_a_key(blobs: BlobDirectory, key: str) -> None:
    for ask in (blobs.receive, blobs.settle, blobs.withdraw, blobs.remove, blobs.find):
        with pytest.raises(ValueError, match="is no key"):
            ask(key)
