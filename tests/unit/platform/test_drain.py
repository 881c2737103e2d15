"""Every call is in the usage table once, whoever crashed between two steps; nothing is removed too early."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine, select

from abyssal.platform.drain import JournalDrain
from abyssal.stores.journal import JournalWriter, segments
from abyssal.stores.records import Opened, Refused, Settled
from abyssal.stores.sql.calls import CallStore
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.schema import usage

SEGMENT = 1024


def opened(call: str) -> Opened:
    return Opened(call, 5, "key_1", "m", "up", False)


def settled(call: str, tokens: int = 7, status: int = 200) -> Settled:
    return Settled(call, 9, "key_1", "m", "up", False, status, "", tokens, 1, 0, 0, False, 10, 20)


class FailingStore(CallStore):
    """A database that is locked when a test says so, before or after it took the rows."""

    fails = ""

    def add(self, settled: Any, failed: Any) -> None:
        if self.fails == "before":
            raise OSError("database is locked")
        super().add(settled, failed)
        if self.fails == "after":
            raise OSError("the connection broke, who knows when")


class Books:
    """A journal directory, a database, and drains over them that may be replaced as after a crash."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "journal"
        self.journal.mkdir()
        self.engine: Engine = open_database(sqlite_url(directory / "abyssal.db"))
        self.store = FailingStore(self.engine)
        self.observed: list[Any] = []
        self.writers: dict[str, JournalWriter] = {}
        self.restart()

    def restart(self) -> None:
        """A new control process."""
        self.observed = []
        self.drain = JournalDrain(self.journal, self.store, self.observed.append)

    def step(self, *live: str) -> int:
        """Move what is there; every other writer's process has ended, and with it what it had open."""
        for name in self.writers.keys() - set(live):
            end_process(self.writers.pop(name))
        return self.drain.step(lambda: live)

    def writer(self, name: str = "w", segment_bytes: int = SEGMENT) -> JournalWriter:
        made = self.writers[name] = JournalWriter(self.journal, name, segment_bytes=segment_bytes)
        return made

    @property
    def rows(self) -> dict[str, tuple[int, str, int]]:
        with self.engine.connect() as connection:
            found = connection.execute(
                select(usage.c.id, usage.c.status, usage.c.code, usage.c.prompt_tokens)
            )
            return {row[0]: (row[1], row[2], row[3]) for row in found}

    @property
    def files(self) -> list[tuple[str, int]]:
        return [(writer, number) for writer, number, _ in segments(self.journal)]

    def close(self) -> None:
        self.drain.close()
        self.engine.dispose()


def end_process(writer: JournalWriter) -> None:
    """What the end of its process does to it."""
    for segment in (writer._map, writer._spare[1] if writer._spare else None):
        if segment is not None:
            segment.close()


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


class Life(RuleBasedStateMachine):
    """Workers write, die and are replaced; the control process drains, fails, dies and starts again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="abyssal-")
        self.books = Books(Path(self.directory.name))
        self.count = 0
        self.begin()
        self.ended: dict[str, int] = {}  # what was acknowledged
        self.cut: set[str] = set()

    def begin(self) -> None:
        self.count += 1
        self.name = f"w{self.count}"
        self.writer = self.books.writer(self.name)
        self.at_work: list[str] = []

    @rule()
    def open(self) -> None:
        self.count += 1
        self.writer.append(opened(f"c{self.count}"))
        self.at_work.append(f"c{self.count}")

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        call = self.at_work.pop(data.draw(st.integers(0, len(self.at_work) - 1)))
        self.ended[call] = self.count
        self.writer.append(settled(call, self.count))

    @rule(many=st.integers(1, 12))
    def traffic(self, many: int) -> None:
        for _ in range(many):
            self.count += 1
            self.writer.append(opened(f"c{self.count}"))
            self.writer.append(settled(f"c{self.count}", self.count))
            self.ended[f"c{self.count}"] = self.count

    @rule()
    def prepare(self) -> None:
        self.writer.prepare()

    @rule()
    def worker_dies(self) -> None:
        self.cut.update(self.at_work)
        self.begin()

    @rule(fails=st.sampled_from(("", "", "before", "after")))
    def drain(self, fails: str) -> None:
        self.books.store.fails = fails
        try:
            self.books.step(self.name)
        except OSError:
            assert fails
        self.books.store.fails = ""

    @rule(fails=st.sampled_from(("", "before", "after")))
    def control_dies(self, fails: str) -> None:
        self.drain(fails)
        self.books.drain.close()
        self.cut.update(self.at_work)
        self.books.restart()
        self.begin()

    @invariant()
    def no_row_is_wrong(self) -> None:
        for call, (status, code, tokens) in self.books.rows.items():
            if call in self.ended:
                assert (status, tokens) == (200, self.ended[call])
            else:
                assert call in self.cut
                assert (status, code) == (500, "worker_lost")

    def teardown(self) -> None:
        self.cut.update(self.at_work)
        self.books.step()
        assert set(self.books.rows) == set(self.ended) | self.cut
        assert self.books.files == []
        self.no_row_is_wrong()
        self.books.close()
        self.directory.cleanup()


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
