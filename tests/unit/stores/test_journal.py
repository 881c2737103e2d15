"""What is appended is read, whoever dies where: segments, rotation, torn records."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abyssal.stores.journal import JournalFullError, JournalWriter, SegmentReader, has_begun, segments
from abyssal.stores.records import Opened, Refused, Settled

AnyRecord = Opened | Settled | Refused

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
counts = st.integers(0, 2**63 - 1)
opened = st.builds(Opened, texts, counts, texts, texts, texts, st.booleans())
settled = st.builds(
    Settled, texts, counts, texts, texts, texts, st.booleans(), st.integers(0, 599), texts,
    counts, counts, counts, counts, st.booleans(), counts, counts,
)  # fmt: skip
refused = st.builds(Refused, counts, texts, texts, st.integers(0, 599), texts)
records = st.lists(opened | settled | refused, max_size=40)


def one(number: int = 0) -> Opened:
    return Opened(f"call-{number}", number, "key_1", "deepseek-chat", "up", True)


def read(directory: Path) -> list[AnyRecord]:
    found: list[AnyRecord] = []
    for _, _, path in segments(directory):
        reader = SegmentReader(path)
        found += reader.read()
        reader.close()
    return found


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(records, st.sampled_from((1024, 4096, 65536)), st.data())
def test_what_is_appended_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[AnyRecord], size: int, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory, "w", segment_bytes=size)
    readers: dict[Path, SegmentReader] = {}
    followed: list[AnyRecord] = []

    def follow() -> None:
        for _, _, path in segments(directory):
            if path not in readers:
                readers[path] = SegmentReader(path)
            followed.extend(readers[path].read())

    for record in written:
        writer.append(record)
        if data.draw(st.integers(0, 3)) == 0:
            writer.prepare()
        if data.draw(st.integers(0, 3)) == 0:
            follow()
    assert read(directory) == written
    follow()
    assert followed == written
    writer.close()
    assert read(directory) == written
    for reader in readers.values():
        reader.close()


def test_segments_follow_each_other_and_are_private(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w-1", segment_bytes=256)
    for number in range(20):
        writer.append(one(number))
    found = segments(tmp_path)
    assert [(name, number) for name, number, _ in found] == [("w-1", number) for number in range(len(found))]
    assert len(found) > 3
    assert all(path.stat().st_size == 256 and path.stat().st_mode & 0o777 == 0o600 for _, _, path in found)
    assert [record.at for record in read(tmp_path)] == list(range(20))
    writer.close()


def test_writers_do_not_mix(tmp_path: Path) -> None:
    first, second = JournalWriter(tmp_path, "b"), JournalWriter(tmp_path, "a")
    first.append(one(1))
    second.append(one(2))
    assert [(name, number) for name, number, _ in segments(tmp_path)] == [("a", 0), ("b", 0)]
    assert [record.at for record in read(tmp_path)] == [2, 1]
    first.close()
    second.close()


def test_a_name_that_was_used_is_not_used_again(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.append(one())
    with pytest.raises(JournalFullError, match="exists"):
        JournalWriter(tmp_path, "w").append(one())
    assert len(read(tmp_path)) == 1
    writer.close()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("x.txt", "noname.seg", "w-x.seg", "-1.seg", "w-1.seg.bak"):
        (tmp_path / name).write_bytes(b"x")
    assert segments(tmp_path) == []


# Opening ahead of need


def test_prepare_opens_the_next_segment_when_half_is_used(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes=4096)
    writer.prepare()
    assert len(segments(tmp_path)) == 1
    writer.append(one())
    writer.prepare()
    assert len(segments(tmp_path)) == 1
    while len(segments(tmp_path)) == 1:
        writer.append(one())
        writer.prepare()
    assert 2048 < writer._at < 2048 + 200
    assert not has_begun(segments(tmp_path)[1][2])
    writer.prepare()
    assert len(segments(tmp_path)) == 2
    writer.close()


def test_closing_takes_an_unused_segment_along(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.prepare()
    writer.close()
    assert segments(tmp_path) == []


def test_has_room_keeps_the_second_half_for_ends(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes=4096)
    assert not writer.has_room
    writer.prepare()
    assert writer.has_room
    while writer.has_room:
        writer.append(one())
    assert writer._at >= 2048
    writer.prepare()
    assert writer.has_room
    writer.close()


@pytest.mark.parametrize("how", ["missing", "a file"])
def test_a_directory_that_cannot_be_used(tmp_path: Path, how: str) -> None:
    directory = tmp_path / "journal"
    if how == "a file":
        directory.write_text("x")
    writer = JournalWriter(directory, "w")
    for attempt in (lambda: writer.append(one()), writer.prepare):
        with pytest.raises(JournalFullError, match="journal"):
            attempt()
    writer.close()


# Torn records


def written(tmp_path: Path, count: int = 5) -> tuple[Path, list[int]]:
    """A segment of `count` records, and where each begins."""
    writer = JournalWriter(tmp_path, "w", segment_bytes=8192)
    starts: list[int] = []
    for number in range(count):
        starts.append(writer._at)
        writer.append(one(number))
    starts.append(writer._at)
    writer.close()
    (segment,) = segments(tmp_path)
    return segment[2], starts


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("offset", [0, 3, 4, 7, 8, 20])
def test_reading_stops_before_a_record_that_was_changed(tmp_path: Path, which: int, offset: int) -> None:
    path, starts = written(tmp_path)
    data = bytearray(path.read_bytes())
    data[starts[which] + offset] ^= 0x55
    path.write_bytes(data)
    assert [record.at for record in read(tmp_path)] == list(range(which))


@pytest.mark.parametrize("which", range(5))
def test_reading_stops_before_a_record_that_was_cut(tmp_path: Path, which: int) -> None:
    path, starts = written(tmp_path)
    for end in range(starts[which], starts[which + 1], 7):
        os.truncate(path, end)
        assert [record.at for record in read(tmp_path)] == list(range(which))
        path.write_bytes(b"")
        (tmp_path / path.name).unlink()
        path, _ = written(tmp_path)


def test_reading_stops_before_a_record_that_is_half_copied_and_goes_on_when_it_is_whole(
    tmp_path: Path,
) -> None:
    path, starts = written(tmp_path)
    whole = path.read_bytes()
    half = bytearray(whole)
    half[starts[3] + 10 :] = bytes(len(whole) - starts[3] - 10)
    path.write_bytes(half)
    reader = SegmentReader(path)
    assert [record.at for record in reader.read()] == [0, 1, 2]
    assert list(reader.read()) == []
    path.write_bytes(whole)
    assert [record.at for record in reader.read()] == [3, 4]
    assert list(reader.read()) == []
    reader.close()


@pytest.mark.parametrize("content", [b"", bytes(3), bytes(100), b"\xff" * 100, b"\x05\x00\x00\x00"])
def test_a_segment_without_a_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w-00000000.seg"
    path.write_bytes(content)
    assert read(tmp_path) == []
    assert has_begun(path) is (content[:4] not in (b"", bytes(3), bytes(4)))


def test_a_segment_that_is_gone_has_not_begun(tmp_path: Path) -> None:
    assert not has_begun(tmp_path / "w-00000000.seg")


def test_records_across_the_size_of_a_read(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes=4 * 1024 * 1024)
    many: list[Any] = [one(number) for number in range(40_000)]
    for record in many:
        writer.append(record)
    assert read(tmp_path) == many
    writer.close()


def test_no_record_shows_a_secret_field() -> None:
    for kind in (Opened, Settled, Refused):
        assert not {"key", "digest", "authorization", "body", "content"} & set(kind.__struct_fields__)


def test_a_record_of_another_version_is_skipped_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole record that cannot be decoded must not stop everything behind it for ever."""
    foreign = msgspec.msgpack.encode(["?", 1, 2])
    writer = JournalWriter(tmp_path, "w", segment_bytes=4096)
    writer.append(one())
    assert writer._map is not None
    record = struct.pack("<II", len(foreign), zlib.crc32(foreign)) + foreign
    writer._map[writer._at : writer._at + len(record)] = record
    writer._at += len(record)
    writer.append(one())
    ((_, _, path),) = segments(tmp_path)
    reader = SegmentReader(path)
    assert len(list(reader.read())) == 2
    assert "unknown and skipped" in caplog.text
    reader.close()
    writer.close()
