"""The ring of master keys: its text, its three sources, the file that nobody else may read."""

from __future__ import annotations

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from abyssal.config import MasterKeySource
from abyssal.stores.master_key import MasterKeys, open_master_keys, parse_ring, ring_line
from abyssal.testing import ManualClock
from abyssal.wire.errors import ConfigurationError

ONE = "mk_0000000000000001 " + "A" * 43 + "="
TWO = "mk_0000000000000002 " + "B" * 42 + "A="


def opened(data: Path, **environ: str) -> MasterKeys:
    return open_master_keys(MasterKeySource(), data, environ)


def key_file(data: Path, text: str, mode: int = 0o600) -> Path:
    path = data / "master.key"
    path.write_text(text)
    path.chmod(mode)
    return path


# The text


def test_a_ring_is_its_keys_in_their_order() -> None:
    text = f"# made by hand\n\n{ONE}\n  {TWO}  # the new one\n"
    assert [key.id for key in parse_ring(text, "x")] == ["mk_0000000000000001", "mk_0000000000000002"]
    assert parse_ring("", "x") == parse_ring("# nothing\n", "x") == []


def test_a_fresh_line_is_a_key_and_no_two_are_the_same() -> None:
    lines = {ring_line() for _ in range(100)}
    assert len({key.id for key in parse_ring("\n".join(lines), "x")}) == 100


@pytest.mark.parametrize(
    "line",
    [
        "mk_0000000000000001",
        "mk_0000000000000001 short",
        "mk_0000000000000001 " + "A" * 44,
        "mk_0000000000000001 " + "A" * 42 + "*=",
        "key_0000000000000001 " + "A" * 43 + "=",
        "A" * 43 + "=",
        "\ufffd\ufffd",
    ],
)
def test_a_line_that_is_no_key_is_named_but_not_shown(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the place: line 2 is no key") as caught:
        parse_ring(f"{ONE}\n{line}\n", "the place")
    assert line not in caught.value.message
    assert "AAAA" not in caught.value.message


def test_an_id_is_there_once() -> None:
    with pytest.raises(ConfigurationError, match="line 2 has the id of an earlier line"):
        parse_ring(f"{ONE}\n{ONE}\n", "x")


# The file


def test_the_file_is_made_when_the_first_key_is_needed(tmp_path: Path) -> None:
    keys = opened(tmp_path)
    assert list(tmp_path.iterdir()) == []
    first = keys.first()
    path = tmp_path / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.ring == (first.id,)
    assert keys.first() is first
    assert opened(tmp_path).ring == (first.id,)
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_who_make_it_at_once_one_does(tmp_path: Path) -> None:
    rings = [opened(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda keys: keys.first().id, rings))
    assert set(firsts) == set(opened(tmp_path).ring)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    key_file(tmp_path, ONE, mode)
    with pytest.raises(
        ConfigurationError, match=rf"master\.key: others can read it \(mode {mode:o}\).*chmod 600"
    ):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["", "  \n", "mk_0000000000000001", "\x00\x00"])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = key_file(tmp_path, text)
    with pytest.raises(ConfigurationError, match=r"master\.key"):
        opened(tmp_path)
    assert path.read_text() == text


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "master.key").mkdir()
    with pytest.raises(ConfigurationError, match=r"master\.key: cannot be read"):
        opened(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    keys = open_master_keys(MasterKeySource(file=str(tmp_path / "no" / "ring")), tmp_path, {})
    with pytest.raises(ConfigurationError, match="ring: cannot be made"):
        keys.first()


def test_changing_keys_adds_one_and_then_takes_the_old_one_away(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"# ours\n{ONE}")
    keys = opened(tmp_path)
    new = keys.next()
    assert keys.ring == ("mk_0000000000000001", new.id)
    assert path.read_text().startswith(f"# ours\n{ONE}\n{new.id} ")
    assert keys.next() is not None  # ended in the middle, and begun again: no third key
    assert keys.ring == ("mk_0000000000000001", new.id)
    keys.keep_only(new.id)
    assert opened(tmp_path).ring == (new.id,)
    assert path.read_text().startswith(f"# ours\n{new.id} ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert keys.key("mk_0000000000000001").id == "mk_0000000000000001"  # others may still be reading


def test_the_last_key_is_never_taken_away(tmp_path: Path) -> None:
    path = key_file(tmp_path, ONE)
    with pytest.raises(ConfigurationError, match="has no key mk_0000000000000002"):
        opened(tmp_path).keep_only("mk_0000000000000002")
    assert path.read_text() == ONE


def test_a_link_goes_on_pointing_to_where_it_does(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = key_file(tmp_path / "elsewhere", ONE)
    (tmp_path / "master.key").symlink_to(target)
    keys = opened(tmp_path)
    keys.keep_only(keys.next().id)
    assert (tmp_path / "master.key").is_symlink()
    assert opened(tmp_path).ring == keys.ring
    assert ONE not in target.read_text()


def test_a_key_that_another_process_added_is_found(tmp_path: Path) -> None:
    key_file(tmp_path, ONE)
    keys = opened(tmp_path)
    new = opened(tmp_path).next()
    assert keys.ring == ("mk_0000000000000001",)
    assert keys.key(new.id).id == new.id


def test_a_lost_key_is_named_with_what_is_lost(tmp_path: Path) -> None:
    key_file(tmp_path, ONE)
    with pytest.raises(
        ConfigurationError, match=r"master\.key does not have the master key mk_abcd, .*restore it"
    ):
        opened(tmp_path).key("mk_abcd")


def test_the_source_is_not_asked_for_each_of_a_million_rows() -> None:
    class Counting:
        name = "the source"
        reads = 0

        def read(self) -> str:
            self.reads += 1
            return ONE

    source, clock = Counting(), ManualClock()
    keys = MasterKeys(source, clock)
    for _ in range(50):
        with pytest.raises(ConfigurationError):
            keys.key("mk_abcd")
    assert source.reads == 2
    clock.advance(10.0)
    with pytest.raises(ConfigurationError):
        keys.key("mk_abcd")
    assert source.reads == 3


# The other sources


def test_a_variable(tmp_path: Path) -> None:
    keys = open_master_keys(MasterKeySource(env="RING"), tmp_path, {"RING": f"{ONE}\n{TWO}"})
    assert keys.ring == ("mk_0000000000000001", "mk_0000000000000002")
    assert keys.first().id == keys.next().id == "mk_0000000000000002"
    keys.keep_only("mk_0000000000000002")
    assert keys.ring == ("mk_0000000000000001", "mk_0000000000000002")
    for environ in ({}, {"RING": " "}):
        with pytest.raises(ConfigurationError, match=r"variable RING is not set; .*new-key"):
            open_master_keys(MasterKeySource(env="RING"), tmp_path, environ)
    assert list(tmp_path.iterdir()) == []


def command(program: str) -> MasterKeySource:
    return MasterKeySource(command=(sys.executable, "-S", "-c", program))


def test_a_command_is_run_without_a_shell_and_with_the_environment(tmp_path: Path) -> None:
    source = command("import os, sys; print(os.environ['RING']); sys.stderr.write('$(date)')")
    assert open_master_keys(source, tmp_path, {"RING": ONE}).ring == ("mk_0000000000000001",)
    literal = MasterKeySource(command=("echo", f"{ONE} # $(exit 3) ; exit 3"))
    assert open_master_keys(literal, tmp_path, {"PATH": "/bin:/usr/bin"}).ring == ("mk_0000000000000001",)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.stderr.write('hunter2'); sys.exit(3)", "ended with code 3"),
        ("pass", "printed nothing"),
        ("print('hunter2')", "line 1 is no key"),
        ("import os; os.kill(os.getpid(), 9)", "ended with code -9"),
    ],
)
def test_a_command_that_fails_is_told_of_without_what_it_said(
    tmp_path: Path, program: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        open_master_keys(command(program), tmp_path, {})
    assert "hunter2" not in caught.value.message
    assert "hunter2" not in "".join(capfd.readouterr())


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be started"):
        open_master_keys(MasterKeySource(command=(str(tmp_path / "no"),)), tmp_path, {})


def test_two_sources_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set one of file, env and command"):
        open_master_keys(MasterKeySource(file="a", env="B"), tmp_path, {"B": ONE})


def test_no_key_is_in_a_repr(tmp_path: Path) -> None:
    key_file(tmp_path, ONE)
    keys = opened(tmp_path)
    for value in (keys, keys.first(), vars(keys)):
        assert "AAAAA" not in repr(value)
