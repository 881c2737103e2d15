"""Whoever is killed while it writes loses nothing that it had acknowledged, and a full disk is an error."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.stores.journal import JournalWriter, SegmentReader, segments

WRITER = """
import os, sys
from pathlib import Path
from abyssal.stores.journal import JournalWriter
from abyssal.stores.records import Opened

writer = JournalWriter(Path(sys.argv[1]), "w", segment_bytes=16384)
number = 0
while True:
    writer.append(Opened(f"call-{number}", number, "key", "model", "upstream", False))
    os.write(1, b"%d\\n" % number)
    number += 1
    if number % 50 == 0:
        writer.prepare()
"""


def numbers_in(directory: Path) -> list[int]:
    found: list[int] = []
    for _, _, path in segments(directory):
        reader = SegmentReader(path)
        found += [record.at for record in reader.read()]
        reader.close()
    return found


@pytest.mark.parametrize("acknowledged", [1, 700, 5000])
def test_a_writer_that_is_killed_loses_nothing_that_it_acknowledged(
    tmp_path: Path, acknowledged: int
) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = b""
        try:
            while said.count(b"\n") < acknowledged:
                piece = os.read(process.stdout.fileno(), 65536)
                assert piece, "the writer ended by itself"
                said += piece
        finally:
            process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
    told = [int(line) for line in said.split(b"\n")[:-1]]
    found = numbers_in(tmp_path)
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1


FILLER = """
import sys
from pathlib import Path
from abyssal.stores.journal import JournalFullError, JournalWriter
from abyssal.stores.records import Opened

writer = JournalWriter(Path(sys.argv[1]), "w", segment_bytes=int(sys.argv[2]))
number = refused = 0
while number < 100_000:
    try:
        if not writer.has_room:
            writer.prepare()
    except JournalFullError as error:
        refused = 1
        print(error, flush=True)
        break
    writer.append(Opened(f"call-{number}", number, "key", "model", "upstream", False))
    number += 1
kept = 0
while True:
    try:
        writer.append(Opened(f"call-{number}", number, "key", "model", "upstream", False))
    except JournalFullError:
        break
    number += 1
    kept += 1
print(number, kept, flush=True)
"""


def fill(directory: Path, segment: int, limit: int = 0) -> tuple[str, int, int]:
    """Append until the disk is full, in a process that a SIGBUS would kill: (the error, records, kept)."""

    def bounded() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(directory), str(segment)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=bounded,
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
    error, counts = done.stdout.splitlines()
    number, kept = counts.split()
    return error, int(number), int(kept)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 256 KiB; only the superuser of a machine that allows mounting can have one."""
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


def test_a_full_disk_is_an_error_before_it_is_a_fault(small_disk: Path) -> None:
    error, number, kept = fill(small_disk, 65536)
    assert "No space left" in error
    assert kept > 50, "no room was kept for the ends of calls under way"
    assert numbers_in(small_disk) == list(range(number))
    for _, _, path in segments(small_disk):
        assert path.stat().st_size == 65536, "a segment that could not be allocated was left behind"


def test_when_there_is_space_again_writing_goes_on(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200 * 1024))
    _, number, _ = fill(small_disk, 32768)
    ballast.unlink()
    writer = JournalWriter(small_disk, "later", segment_bytes=32768)
    writer.prepare()
    assert writer.has_room
    writer.close()
    assert numbers_in(small_disk) == list(range(number))


def test_a_file_size_limit_is_an_error_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path), "65536"],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (32768, 32768)),
    )
    assert done.returncode == 0, done.stderr
    assert "too large" in done.stdout.splitlines()[0]
    assert segments(tmp_path) == []


def test_appending_is_quick(tmp_path: Path) -> None:
    from abyssal.stores.records import Opened

    writer = JournalWriter(tmp_path, "w")
    record = Opened("call", 1, "key", "model", "upstream", True)
    writer.append(record)
    start = time.process_time()
    for _ in range(2000):
        writer.append(record)
    assert (time.process_time() - start) / 2000 < 50e-6
    writer.close()
