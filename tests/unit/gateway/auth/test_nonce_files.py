"""The two files that nonces rest in: their turns, what is cut off, and who is kept out."""

from __future__ import annotations

import errno
import itertools
import logging
import os
from pathlib import Path

import pytest

from abyssal.gateway.auth import nonce_file
from abyssal.gateway.auth.nonce_memory import MemoryNonces
from abyssal.gateway.auth.nonces import Verdict
from abyssal.wire.errors import ConfigurationError

SECOND = 10**9
NOW = 1_800_000_000


def claim(store: MemoryNonces, nonce: str, now: float, life: float = 301) -> Verdict:
    return store.claim(nonce.encode(), int((now + life) * SECOND), int(now * SECOND))


def sizes(folder: Path) -> list[int]:
    return [(folder / name).stat().st_size for name in ("nonces.0", "nonces.1")]


def test_they_are_nobody_else_s(tmp_path: Path) -> None:
    store = MemoryNonces(tmp_path / "new" / "er", capacity=9)
    assert [
        oct((tmp_path / "new" / "er" / name).stat().st_mode)[-3:] for name in ("nonces.0", "nonces.1")
    ] == ["600"] * 2
    store.close()


def test_a_second_process_is_kept_out_until_the_first_has_closed(tmp_path: Path) -> None:
    store = MemoryNonces(tmp_path, capacity=9)
    with pytest.raises(ConfigurationError, match="another process has it"):
        MemoryNonces(tmp_path, capacity=9)
    store.close()
    store.close()
    MemoryNonces(tmp_path, capacity=9).close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        MemoryNonces(tmp_path / "file" / "x", capacity=9)


@pytest.mark.parametrize("cut", [1, 12, 23])
def test_a_torn_record_is_ignored_and_the_next_is_whole(tmp_path: Path, cut: int) -> None:
    store = MemoryNonces(tmp_path, capacity=9)
    assert [claim(store, nonce, NOW) for nonce in "abc"] == [Verdict.FRESH] * 3
    store.close()
    (largest,) = [path for path in tmp_path.iterdir() if path.stat().st_size]
    os.truncate(largest, 3 * 24 - cut)
    for _ in range(2):
        store = MemoryNonces(tmp_path, capacity=9)
        seen = [claim(store, nonce, NOW) for nonce in "abcd"]
        store.close()
    assert seen == [Verdict.SEEN] * 4
    assert sum(sizes(tmp_path)) == 4 * 24


def test_files_stay_small_and_forget_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of calls, a process that ends now and then; whatever is live is known, at every moment."""
    monkeypatch.setattr(nonce_file, "_LONG", 256)
    monkeypatch.setattr(nonce_file, "_STEP", 16)
    store = MemoryNonces(tmp_path, capacity=10_000)
    largest = 0
    for n in range(20_000):
        now = NOW + n * 0.7
        assert claim(store, str(n), now) is Verdict.FRESH
        if n % 97 == 0:
            store.close()
            store = MemoryNonces(tmp_path, capacity=10_000)
            for back in (0, 1, 200, 429):
                if n >= back:
                    then = NOW + (n - back) * 0.7
                    until = int((then + 301) * SECOND)
                    assert store.claim(str(n - back).encode(), until, int(now * SECOND)) is Verdict.SEEN
        largest = max(largest, *sizes(tmp_path))
    assert largest < 24 * 1500
    assert len(store) <= 301 / 0.7 + 3
    store.close()


def test_a_nonce_of_a_clock_that_was_wrong_does_not_make_them_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonce_file, "_LONG", 256)
    monkeypatch.setattr(nonce_file, "_STEP", 16)
    store = MemoryNonces(tmp_path, capacity=10_000)
    year = NOW + 365 * 86400
    assert claim(store, "far", year) is Verdict.FRESH
    for n in range(5_000):
        assert claim(store, str(n), NOW + n) is Verdict.FRESH
    assert max(sizes(tmp_path)) < 24 * 2000
    store.close()
    store = MemoryNonces(tmp_path, capacity=10_000)
    assert claim(store, "far", year) is Verdict.SEEN
    store.close()


def test_the_floor_outlives_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was let go, and is in no file any more, is stale for the next process too."""
    monkeypatch.setattr(nonce_file, "_LONG", 8)
    store = MemoryNonces(tmp_path, capacity=10_000)
    claim(store, "early", NOW)
    for n in itertools.count():
        assert claim(store, f"later {n}", NOW + 1000 + n) is Verdict.FRESH
        known = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        if n > 300 and (NOW + 301).to_bytes(8, "big") not in known.replace(bytes(16), b""):
            break
        assert n < 10_000
    store.close()
    store = MemoryNonces(tmp_path, capacity=10_000)
    assert claim(store, "early", NOW) is Verdict.STALE
    store.close()


def test_a_full_disk_takes_nothing_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryNonces(tmp_path, capacity=9)
    assert claim(store, "a", NOW) is Verdict.FRESH
    write = os.write

    def short(fd: int, data: bytes) -> int:
        return write(fd, data[:7])

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with caplog.at_level(logging.WARNING, "abyssal.gateway"):
        for failing in (short, full, short):
            monkeypatch.setattr(os, "write", failing)
            assert claim(store, "b", NOW) is Verdict.FULL
            assert claim(store, "a", NOW) is Verdict.SEEN
        monkeypatch.setattr(os, "write", write)
        assert claim(store, "b", NOW) is Verdict.FRESH
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    store.close()
    store = MemoryNonces(tmp_path, capacity=9)
    assert [claim(store, nonce, NOW) for nonce in "ab"] == [Verdict.SEEN] * 2
    assert sum(sizes(tmp_path)) == 48
    store.close()


def test_a_closed_one_takes_nothing(tmp_path: Path) -> None:
    store = MemoryNonces(tmp_path, capacity=9)
    store.close()
    assert claim(store, "a", NOW) is Verdict.FULL


def test_letting_go_costs_the_same_however_many_there_are() -> None:
    """A bucket is touched once: what is left to look at after it does not depend on what is live."""
    store = MemoryNonces(None, capacity=100_000)
    for n in range(50_000):
        claim(store, str(n), NOW + n / 1000)
    assert len(store) == 50_000
    assert claim(store, "last", NOW + 10_000) is Verdict.FRESH
    assert len(store) == 1
