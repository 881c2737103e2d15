"""Files on each database: what is stored is listed and read by its project, and room is given out once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.platform.files.uploads import THEIRS, Files
from tests.unit.platform.identity.tenants import World, populate

from abyssal.config import FilesConfig
from abyssal.platform.files.library import store_file
from abyssal.platform.files.upkeep import clear_transit, remove_expired
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.files import FileRow
from abyssal.stores.sql.schema import files as table
from abyssal.wire.errors import PayloadTooLargeError

ENDS = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}


@pytest.fixture
def files(each_database: str, tmp_path: Path) -> Iterator[Files]:
    engine = open_database(each_database)
    yield Files(populate(World(engine, tmp_path)))
    engine.dispose()


def test_a_life(files: Files) -> None:
    made = [files.stored(f"content {n}".encode(), f"名'{n}.txt", purpose="batch") for n in range(3)]
    files.stored(b"theirs", who=THEIRS)
    assert {one["id"] for one in files.ask("GET").json["data"]} == {one["id"] for one in made}
    first = files.ask("GET", query={"limit": "2"}).json
    rest = files.ask("GET", query={"limit": "2", "after": first["last_id"]}).json
    assert (len(first["data"]), first["has_more"], len(rest["data"]), rest["has_more"]) == (2, True, 1, False)
    path = f"/{made[0]['id']}"
    assert files.ask("GET", path).json == made[0]
    assert files.ask("GET", f"{path}/content").body == b"content 0"
    assert files.ask("GET", path, who=THEIRS).status == 404
    assert files.ask("DELETE", path).json["deleted"] is True
    assert files.ask("GET", path).status == 404


@pytest.mark.parametrize("after", ["file-api-\0", "x' OR 1=1", "file-api-" + "0" * 24])
def test_what_is_no_file(files: Files, after: str) -> None:
    assert files.ask("GET", query={"after": after}).status == 400
    assert files.ask("GET", f"/{after}").status == 404
    assert files.ask("GET", query={"purpose": after}).param == "purpose"


def test_the_end_and_what_a_crash_left(files: Files) -> None:
    stays = files.stored(b"stays")
    files.stored(b"ends", **ENDS)
    files.world.clock.advance(3600)
    engine, blobs, now = files.world.engine, files.world.blobs, files.world.now_ns
    assert remove_expired(engine, blobs, now_ns=now) == 1
    blobs.withdraw(stays["id"].removeprefix("file-api-"))
    clear_transit(engine, blobs, now_ns=2**62)
    assert files.ask("GET", f"/{stays['id']}/content").body == b"stays"
    assert files.world.count(table) == len(files.on_disk) == 1


def test_the_last_room_is_given_to_one(files: Files) -> None:
    files.world.files = FilesConfig(per_project=3 * 4096)
    plane = files.world.plane()

    def store(number: int) -> bool:
        row = FileRow(f"file-api-{number:024x}", "proj_a0", "x", "batch", "text/plain", 1, bytes(32), number)
        try:
            store_file(plane, row)
        except PayloadTooLargeError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(store, range(6))) == [False] * 3 + [True] * 3
