"""Every call is in the usage table once, whoever crashed between two steps; nothing is removed too early."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.stores.journal import JournalWriter, segments
from abyssal.stores.records import Opened, Refused, Settled

from .drained import Books, opened, settled


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def test_a_settled_call_becomes_a_row(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("a"))
    assert books.step("w") == 0
    writer.append(settled("a"))
    assert books.step("w") == 1
    assert books.rows == {"a": (200, "", 7)}
    assert books.step("w") == 0
    assert books.observed == [opened("a"), settled("a")]


def test_refusals_are_observed_and_are_no_rows(books: Books) -> None:
    refused = Refused(1, "", "", 401, "invalid_api_key")
    books.writer().append(refused)
    assert books.step("w") == 0
    assert books.observed == [refused]
    assert books.rows == {}


def test_a_live_writer_s_last_segment_stays(books: Books) -> None:
    writer = books.writer()
    for number in range(50):
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    count = len(books.files)
    assert count > 2
    books.step("w")
    assert books.files == [("w", count - 1)]
    assert len(books.rows) == 50


def test_a_segment_with_a_call_at_work_stays_until_it_is_settled(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("long"))
    for number in range(20):
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    books.step("w")
    assert books.files[0] == ("w", 0)
    assert len(books.files) == 2
    writer.append(settled("long"))
    books.step("w")
    assert books.files == [("w", books.files[0][1])]
    assert books.rows["long"] == (200, "", 7)


def test_an_opened_spare_of_a_live_writer_stays(books: Books) -> None:
    writer = books.writer()
    writer.prepare()
    books.step("w")
    assert books.files == [("w", 0)]
    writer.append(opened("a"))
    writer.append(settled("a"))
    books.step("w")
    assert books.rows == {"a": (200, "", 7)}


def test_calls_that_a_dead_writer_left_open_are_lost_and_say_so(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("done"))
    writer.append(settled("done"))
    writer.append(opened("cut"))
    writer.prepare()
    assert books.step() == 2
    assert books.rows == {"done": (200, "", 7), "cut": (500, "worker_lost", 0)}
    assert books.files == []


def test_a_predecessor_s_worker_finishes_its_calls(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("long"))
    books.restart()
    for number in range(20):
        assert books.drain.step(list) == min(number, 1)
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    writer.append(settled("long"))
    assert books.step() == 2
    assert len(books.rows) == 21
    assert {status for status, _, _ in books.rows.values()} == {200}
    assert books.files == []


def test_a_predecessor_s_worker_that_goes_on_to_a_new_segment_is_not_dead(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("long"))
    looks = 0

    def live() -> list[str]:
        nonlocal looks
        looks += 1
        if looks == 2:  # the segments were listed
            first = writer._map
            while writer._map is first:
                writer.append(opened("more"))
        return []

    books.drain.step(live)
    assert books.rows == {}
    assert books.step() == 2


def test_a_dead_writer_s_torn_record_is_left_out(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("a"))
    at = writer._at
    writer.append(settled("a"))
    (segment,) = segments(books.journal)
    data = bytearray(segment[2].read_bytes())
    data[at + 12] ^= 0xFF
    segment[2].write_bytes(data)
    books.step()
    assert books.rows == {"a": (500, "worker_lost", 0)}


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_database_that_fails_is_tried_again_and_nothing_is_removed(books: Books, fails: str) -> None:
    writer = books.writer()
    for number in range(20):
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    files = books.files
    books.store.fails = fails
    for _ in range(2):
        with pytest.raises(OSError, match=r"database|connection"):
            books.step("w")
    assert books.files == files
    books.store.fails = ""
    assert books.step("w") == 20
    assert len(books.rows) == 20
    assert Counter(type(record) for record in books.observed) == {Opened: 20, Settled: 20}


def test_a_crash_between_the_rows_and_the_removal_counts_nothing_twice(books: Books, tmp_path: Path) -> None:
    writer = books.writer()
    for number in range(30):
        writer.append(opened(str(number)))
        if number != 17:
            writer.append(settled(str(number)))
    kept = tmp_path / "kept"
    shutil.copytree(books.journal, kept)
    books.step()
    before = books.rows
    assert len(before) == 30
    shutil.rmtree(books.journal)
    shutil.copytree(kept, books.journal)
    books.drain.close()
    books.restart()
    books.step()
    assert books.rows == before
    assert books.files == []


def test_a_call_whose_end_was_removed_before_the_crash_keeps_its_end(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("first"))
    writer.append(opened("long"))
    for number in range(30):
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    writer.append(settled("first"))
    for number in range(30, 50):
        writer.append(opened(str(number)))
        writer.append(settled(str(number)))
    books.step("w")
    assert books.files[0] == ("w", 0), "it holds a call at work"
    books.drain.close()
    books.restart()
    books.step()
    assert books.rows["first"] == (200, "", 7)
    assert books.rows["long"] == (500, "worker_lost", 0)


def test_a_writer_that_begins_during_a_step_is_not_taken_for_dead(books: Books) -> None:
    writers: list[JournalWriter] = []

    def live() -> list[str]:
        if not writers:  # the first time it is asked, the new worker is not there yet
            writers.append(books.writer("new"))
            writers[0].append(opened("a"))
            return []
        return ["new"]

    books.drain.step(live)
    assert books.files == [("new", 0)]
    assert books.rows == {}
    writers[0].append(settled("a"))
    books.step("new")
    assert books.rows == {"a": (200, "", 7)}


def test_a_writer_that_dies_during_a_step_is_drained_in_the_next(books: Books) -> None:
    writer = books.writer()
    writer.append(opened("a"))
    asked: list[int] = []

    def live() -> list[str]:
        asked.append(1)
        if len(asked) == 2:
            writer.append(settled("a"))
            return []
        return ["w"]

    books.drain.step(live)
    books.step()
    assert books.rows == {"a": (200, "", 7)}


def test_more_rows_than_a_transaction_takes(books: Books) -> None:
    writer = books.writer(segment_bytes=1024 * 1024)
    for number in range(4500):
        writer.append(settled(str(number)))
    assert books.step() == 4500
    assert len(books.rows) == 4500
