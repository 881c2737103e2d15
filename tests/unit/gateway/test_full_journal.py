"""When the journal cannot be written no call reaches an upstream, and those at work still end in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from abyssal.stores.journal import JournalFullError, JournalWriter
from abyssal.stores.records import Opened

from .stage import Stage


class FullDisk(JournalWriter):
    """A journal whose disk is `full` when a test says so."""

    full = False

    def _open(self, number: int) -> object:
        if self.full:
            raise JournalFullError("/journal: No space left on device")
        return super()._open(number)


@pytest.fixture
def journal(stage: Stage, tmp_path: Path) -> FullDisk:
    """The stage's journal, small, and with a disk that may be full."""
    stage.gateway.journal.close()
    journal = FullDisk(stage.directory, "w1", segment_bytes=4096)
    stage.gateway.journal = stage.gateway.pipeline._ledger._journal = journal
    journal.prepare()
    return journal


def fill(stage: Stage, journal: FullDisk) -> None:
    """Make calls until the second half of the last segment is all there is."""
    while journal.has_room:
        client = stage.client().ask()
        stage.server.last.answer()
        assert client.answer().status == 200
        client.leave()


def test_a_full_disk_refuses_new_calls_and_says_why(stage: Stage, journal: FullDisk) -> None:
    journal.full = True
    fill(stage, journal)
    asked = len(stage.server.requests)
    client = stage.client().ask()
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (503, "journal_full")
    assert "No space left" in answer.error["message"]
    assert answer.header("retry-after") == "30"
    assert len(stage.server.requests) == asked, "the upstream was asked for a call that nobody could bill"


def test_calls_at_work_are_settled_in_the_room_that_was_kept(stage: Stage, journal: FullDisk) -> None:
    working = [stage.client().ask() for _ in range(3)]
    connections = list(stage.server.connections)
    journal.full = True
    fill(stage, journal)
    for connection in connections:
        if (
            not connection.closed
            and len(connection.requests) == 1
            and connection.transport.protocol._receiver
        ):
            connection.answer()
    for client in working:
        client.leave()
    opened = [record.id for record in stage.records if isinstance(record, Opened)]
    assert sorted(opened) == sorted(record.id for record in stage.settled)


def test_when_there_is_space_again_calls_are_taken(stage: Stage, journal: FullDisk) -> None:
    journal.full = True
    fill(stage, journal)
    assert stage.client().ask().answer().status == 503
    journal.full = False
    client = stage.client().ask()
    stage.server.last.answer()
    assert client.answer().status == 200


def test_an_end_that_cannot_be_written_still_ends(
    stage: Stage, journal: FullDisk, caplog: pytest.LogCaptureFixture
) -> None:
    client = stage.client().ask()
    journal.full = True
    journal._at = journal._size - 4  # not even an end fits
    stage.server.last.answer()
    assert client.answer().status == 200
    assert stage.gateway.caps.in_flight == 0
    assert "cannot be written" in caplog.text
    stage.unwritten = 1
