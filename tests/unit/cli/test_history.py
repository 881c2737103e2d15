"""What was typed comes back next time, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from abyssal.cli.history import KEPT, History


def test_what_was_typed_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    typed = ["hello", "two\nlines", "你好", '"quoted" \\n', "\u2028"]
    for text in typed:
        History(path).append(text)
    assert History(path).load() == typed
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_yet(tmp_path: Path) -> None:
    assert History(tmp_path / "history").load() == []


def test_half_a_line_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"good"\nplain\n{"a":1}\n\n"\xff"\n"half')
    assert History(path).load() == ["good"]


def test_a_long_history_is_cut_down_to_its_newest(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f'"{number}"\n' for number in range(2 * KEPT + 1)))
    loaded = History(path).load()
    assert (len(loaded), loaded[-1]) == (KEPT, str(2 * KEPT))
    assert len(path.read_bytes().splitlines()) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_history_that_is_a_directory_is_an_error_to_tell(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        History(tmp_path).append("x")
