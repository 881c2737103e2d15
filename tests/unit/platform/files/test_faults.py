"""Crashes and full disks: what was answered stays, what was not leaves nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.unit.platform.files.uploads import BOUNDARY, Files, upload_form
from tests.unit.platform.identity.tenants import World

from abyssal.config import FilesConfig
from abyssal.platform.files import arrival
from abyssal.platform.files.library import store_file
from abyssal.platform.files.upkeep import clear_transit, remove_expired
from abyssal.platform.plane import ControlPlane
from abyssal.stores.blobs import Arriving, BlobDirectory
from abyssal.stores.sql.files import FileRow
from abyssal.stores.sql.schema import files as table
from abyssal.wire.errors import UnavailableError

HOUR = 3600
ENDS = {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(HOUR)}


class Faulty(BlobDirectory):
    """Fails at one step, with one error."""

    def __init__(self, root: Path, step: str, error: BaseException) -> None:
        super().__init__(root)
        self.step, self.error = step, error

    def _at(self, step: str) -> None:
        if self.step == step:
            raise self.error

    def receive(self, key: str) -> Arriving:
        self._at("receive")
        arriving = super().receive(key)
        for step in ("write", "complete"):
            if step == self.step:
                setattr(arriving, step, lambda *_: self._at(self.step))
        return arriving

    def settle(self, key: str) -> None:
        self._at("settle")
        super().settle(key)

    def withdraw(self, key: str) -> None:
        self._at("withdraw")
        super().withdraw(key)

    def remove(self, key: str) -> None:
        self._at("remove")
        super().remove(key)


@pytest.fixture
def files(world: World) -> Files:
    return Files(world)


def break_at(files: Files, step: str, error: BaseException) -> None:
    files.world.blobs = Faulty(files.world.folder / "files", step, error)


def mend(files: Files) -> None:
    files.world.blobs = BlobDirectory(files.world.folder / "files")


def an_hour_later(files: Files) -> None:
    for path in files.on_disk:
        os.utime(path, (0, 0))
    clear_transit(files.world.engine, files.world.blobs, now_ns=files.world.now_ns)


@pytest.mark.parametrize("step", ["receive", "write", "complete"])
@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "storage_full"), (errno.EDQUOT, "storage_full"), (errno.EIO, "storage_unavailable")],
)
def test_a_disk_that_refuses_keeps_nothing(files: Files, step: str, number: int, code: str) -> None:
    break_at(files, step, OSError(number, "no"))
    answer = files.upload(b"content")
    assert (answer.status, answer.code) == (503, code)
    assert files.on_disk == []
    assert files.world.count(table) == 0


class Crash(BaseException):
    """The process ends here."""


def crash(files: Files, step: str, method: str, path: str = "") -> None:
    break_at(files, step, Crash())
    body = upload_form(b"content") if method == "POST" else b""
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    with pytest.raises(Crash):
        files.ask(method, path, body=body, headers=kind)
    mend(files)


def test_a_crash_before_its_place_loses_nothing(files: Files) -> None:
    crash(files, "settle", "POST")
    (row,) = files.ask("GET").json["data"]
    assert files.ask("GET", f"/{row['id']}/content").body == b"content"
    an_hour_later(files)
    assert files.ask("GET", f"/{row['id']}/content").body == b"content"
    assert [path.parent.name for path in files.on_disk] != ["transit"]


@pytest.mark.parametrize("committed", [True, False])
def test_a_database_that_breaks_off_may_have_the_row(
    files: Files, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(plane: ControlPlane, row: FileRow) -> None:
        if committed:
            store_file(plane, row)
        raise UnavailableError("the connection broke", code="store_unavailable")

    monkeypatch.setattr(arrival, "store_file", broken_off)
    assert files.upload(b"content").code == "store_unavailable"
    an_hour_later(files)
    listed = files.ask("GET").json["data"]
    assert len(listed) == len(files.on_disk) == committed
    for one in listed:
        assert files.ask("GET", f"/{one['id']}/content").body == b"content"


def test_a_crash_in_a_deletion_leaves_it_or_ends_it(files: Files) -> None:
    path = f"/{files.stored()['id']}"
    crash(files, "withdraw", "DELETE", path)
    assert files.ask("GET", f"{path}/content").body == b"hello"
    crash(files, "remove", "DELETE", path)
    assert files.ask("GET", path).status == 404
    assert len(files.on_disk) == 1
    an_hour_later(files)
    assert files.on_disk == []


def test_what_nobody_owns_goes_after_an_hour(files: Files) -> None:
    blobs = files.world.blobs
    arriving = blobs.receive("ab" * 12)
    arriving.write(b"half")
    seconds = files.world.now_ns / 1e9
    (path,) = files.on_disk
    os.utime(path, (seconds - HOUR + 1,) * 2)
    clear_transit(files.world.engine, blobs, now_ns=files.world.now_ns)
    assert len(files.on_disk) == 1
    os.utime(path, (seconds - HOUR - 1,) * 2)
    clear_transit(files.world.engine, blobs, now_ns=files.world.now_ns)
    assert files.on_disk == []
    arriving.drop()


def test_what_has_expired_is_removed(files: Files) -> None:
    stays = files.stored(b"stays")
    files.stored(b"ends", **ENDS)
    engine, blobs = files.world.engine, files.world.blobs
    assert remove_expired(engine, blobs, now_ns=files.world.now_ns) == 0
    files.world.clock.advance(HOUR)
    assert remove_expired(engine, blobs, now_ns=files.world.now_ns) == 1
    assert [one["id"] for one in files.ask("GET").json["data"]] == [stays["id"]]
    assert len(files.on_disk) == files.world.count(table) == 1


def test_what_two_take_at_once_one_gets(files: Files) -> None:
    """The room that an upload saw when it began may be gone when it ends."""
    files.world.files = FilesConfig(per_project=8192)

    class Slow(BlobDirectory):
        def receive(self, key: str) -> Arriving:
            mend(files)
            files.stored(b"x" * 8192)
            return super().receive(key)

    files.world.blobs = Slow(files.world.folder / "files")
    answer = files.upload(b"y" * 100)
    assert (answer.status, answer.code) == (413, "files_quota_exceeded")
    assert len(files.on_disk) == 1
