"""An engine's address is made free before it is bound, and a successor's socket is never removed."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.engine.address import EngineError, claim_address, release_socket, socket_identity
from abyssal.engine.spec import EngineExit, EngineSpec


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:
        yield Path(directory) / "e.sock"


def spec(path: Path) -> EngineSpec:
    return EngineSpec(name="m", model="m.gguf", socket=str(path))


def refusal(of: EngineSpec) -> str:
    with pytest.raises(EngineError) as caught:
        claim_address(of)
    assert caught.value.exit_code is EngineExit.NO_ADDRESS
    return caught.value.message


def test_a_free_place_is_left_alone(path: Path) -> None:
    claim_address(spec(path))
    assert not path.exists()


def test_a_dead_engines_socket_is_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    claim_address(spec(path))
    assert not path.exists()


def test_a_living_engines_socket_is_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        assert "another engine answers" in refusal(spec(path))
    assert path.exists()


def test_a_file_is_not_mistaken_for_a_socket(path: Path) -> None:
    path.write_text("precious")
    assert "is no socket" in refusal(spec(path))
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    assert "is no socket" in refusal(spec(path))


def test_a_missing_directory_is_named(path: Path) -> None:
    assert str(path.parent / "no") in refusal(spec(path.parent / "no" / "e.sock"))


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        engine = EngineSpec(name="m", model="m.gguf", listen=f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in refusal(engine)
    claim_address(engine)


def test_only_its_own_socket_is_removed_at_the_end(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(str(path))
        mine = socket_identity(str(path))
        os.rename(path, path.with_name("old.sock"))  # keeps the inode in use, so that the next has another
        second.bind(str(path))
        release_socket(str(path), mine)
        assert path.exists()
        release_socket(str(path), socket_identity(str(path)))
        assert not path.exists()


def test_nothing_is_removed_where_nothing_was(path: Path) -> None:
    assert socket_identity(str(path)) is None
    release_socket(str(path), None)
    path.touch()
    release_socket(str(path), None)
    assert path.exists()
