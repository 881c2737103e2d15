"""The routes of files: what is stored comes back as it was, to its project and to nobody else."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.platform.files.uploads import BOUNDARY, THEIRS, Files, form, headers_of, upload_form
from tests.unit.platform.identity.tenants import World

from abyssal.config import FilesConfig

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def files(world: World) -> Files:
    return Files(world)


@pytest.mark.parametrize("root", ["/v1/files", "/files"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_what_is_stored_comes_back(files: Files, root: str, size: int) -> None:
    content = PNG + b"\r\n--bound" + PNG
    answer = files.post(upload_form(content, "picture.png", purpose="vision"), size=size, root=root)
    stored = answer.json
    now = files.world.now_ns // 10**9
    assert stored == {
        "id": stored["id"], "object": "file", "bytes": len(content), "created_at": now, "expires_at": None,
        "filename": "picture.png", "purpose": "vision", "status": "processed", "status_details": None,
        "content_type": "image/png", "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert stored["id"].startswith("file-api-")
    assert files.ask("GET", f"/{stored['id']}", root=root).json == stored
    given = files.ask("GET", f"/{stored['id']}/content", root=root)
    assert given.body == content
    assert dict(headers_of(given)).items() >= {
        ("content-type", "image/png"),
        ("content-disposition", "attachment; filename*=utf-8''picture.png"),
        ("x-content-type-options", "nosniff"),
        ("content-length", str(len(content))),
    }


def test_it_is_on_the_disk_for_nobody_else(files: Files) -> None:
    stored = files.stored(b"private")
    (path,) = files.on_disk
    assert path.read_bytes() == b"private"
    key = stored["id"].removeprefix("file-api-")
    assert path.relative_to(files.world.folder / "files").parts == (key[:2], key[2:4], key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {
        stat.S_IMODE(up.stat().st_mode) for up in [path.parent, path.parent.parent, path.parent.parent.parent]
    } == {0o700}


def test_part_of_it_can_be_asked_for(files: Files) -> None:
    stored = files.stored(b"0123456789")
    given = files.ask("GET", f"/{stored['id']}/content", headers={"range": "bytes=2-4"})
    assert (given.status, given.body) == (206, b"234")


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=-3", 206, b"789"), ("bytes=8-99", 206, b"89"), ("bytes= 0-0", 206, b"0"),
        ("bytes=0-1,1-2", 206, b"012"), ("bytes=99-,0-0", 200, b"0123456789"),
        ("bytes=5-3", 200, b"0123456789"), ("bytes=abc", 200, b"0123456789"),
        ("items=0-1", 200, b"0123456789"), ("bytes=", 200, b"0123456789"), ("0-1", 200, b"0123456789"),
        ("bytes=" + ",".join(["0-0"] * 101), 200, b"0123456789"),
    ],
)  # fmt: skip
def test_a_range_that_cannot_be_understood_was_not_asked_for(
    files: Files, asked: str, status: int, body: bytes
) -> None:
    stored = files.stored(b"0123456789")
    given = files.ask("GET", f"/{stored['id']}/content", headers={"range": asked})
    assert (given.status, given.body) == (status, body)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", "bytes=99-100,10-"])
def test_a_range_beyond_the_end_is_an_error_object(files: Files, asked: str) -> None:
    stored = files.stored(b"0123456789")
    given = files.ask("GET", f"/{stored['id']}/content", headers={"range": asked})
    assert (given.status, given.code) == (416, "range_not_satisfiable")


def test_deleted_is_gone(files: Files) -> None:
    stored = files.stored()
    answer = files.ask("DELETE", f"/{stored['id']}")
    assert answer.json == {"id": stored["id"], "object": "file", "deleted": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        again = files.ask(method, f"/{stored['id']}{path}")
        assert (again.status, again.code) == (404, "not_found")
    assert files.on_disk == []
    assert files.ask("GET").json["data"] == []


def test_another_project_sees_nothing_of_it(files: Files) -> None:
    stored, absent = files.stored(), "file-api-" + "0" * 24
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        theirs = files.ask(method, f"/{stored['id']}{path}", who=THEIRS)
        nothing = files.ask(method, f"/{absent}{path}", who=THEIRS)
        assert theirs.status == 404
        assert theirs.body.replace(stored["id"].encode(), absent.encode()) == nothing.body
        assert theirs.headers == nothing.headers
    assert files.ask("GET", who=THEIRS).json["data"] == []
    assert files.ask("GET", query={"after": stored["id"]}, who=THEIRS).param == "after"
    assert files.ask("GET", f"/{stored['id']}/content").body == b"hello"


@pytest.mark.parametrize("path", ["/file-api-1\0", "/..%2f..%2fetc", "/file-api-" + "0" * 25, "/ü"])
def test_what_is_no_id_is_not_looked_for(files: Files, path: str) -> None:
    assert files.ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("who", "scopes", "expected"),
    [("", "files", (401, "invalid_api_key")), ("service", "chat admin", (403, "scope_missing"))],
)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("GET", "/x"), ("DELETE", "/x")])
def test_it_takes_the_scope_before_anything_is_read(
    files: Files, who: str, scopes: str, expected: tuple[int, str], method: str, path: str
) -> None:
    answer = files.ask(method, path, who=who, scopes=scopes, body=b"x" * 100, size=10)
    assert (answer.status, answer.code) == expected
    assert files.unread == 10


def test_a_list_page_by_page(files: Files) -> None:
    made = []
    for number in range(5):
        files.world.clock.advance(number % 2)  # some in the same second
        made.append(files.stored(name=f"{number}.txt", purpose=("batch", "user_data")[number % 2])["id"])
    for order, expected in (("desc", made[::-1]), ("asc", made)):
        found: list[str] = []
        query: dict[str, str] = {"limit": "2", "order": order}
        while True:
            page = files.ask("GET", query=query).json
            ids = [one["id"] for one in page["data"]]
            assert (page["object"], page["first_id"], page["last_id"]) == ("list", ids[0], ids[-1])
            found += ids
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
        assert sorted(found) == sorted(expected)
        assert [by for by in found if by in (made[0], made[-1])] == [expected[0], expected[-1]]
    batch = files.ask("GET", query={"purpose": "batch"}).json
    assert {one["id"] for one in batch["data"]} == {made[0], made[2], made[4]}
    assert files.ask("GET", query={"purpose": "vision"}).json == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({"limit": "0"}, "limit", "invalid_value"),
        ({"limit": "10001"}, "limit", "invalid_value"),
        ({"limit": "two"}, "limit", "invalid_value"),
        ({"order": "newest"}, "order", "invalid_value"),
        ({"purpose": "fun"}, "purpose", "invalid_value"),
        ({"kind": "x"}, "kind", "unknown_field"),
        ({"after": "file-api-" + "0" * 24}, "after", "invalid_value"),
        ({"after": "x\0"}, "after", "invalid_value"),
    ],
)
def test_a_list_that_cannot_be(files: Files, query: Mapping[str, str], param: str, code: str) -> None:
    answer = files.ask("GET", query=query)
    assert (answer.param, answer.code) == (param, code)


# Names and kinds

NAMES = [
    ("notes.txt", "notes.txt"),
    ("../../etc/passwd", "passwd"),
    ("..", "file"),
    ("a/", "file"),
    ("C:\\\\temp\\\\x.md", "x.md"),
    ("", "file"),
    ("weekly%22report.txt", 'weekly"report.txt'),
    ("报告.md", "报告.md"),
    ("a\tb\u202etxt.exe", "abtxt.exe"),
    ("n" * 300, "n" * 255),
    (".htaccess", ".htaccess"),
]


@pytest.mark.parametrize(("given", "kept"), NAMES)
def test_names(files: Files, given: str, kept: str) -> None:
    stored = files.stored(b"content", given)
    assert stored["filename"] == kept
    (path,) = files.on_disk
    assert path.name == stored["id"].removeprefix("file-api-")
    given_back = dict(headers_of(files.ask("GET", f"/{stored['id']}/content")))["content-disposition"]
    assert given_back.isascii()
    assert given_back.isprintable()


KINDS = [
    (PNG, "x.txt", "image/png"),
    (b"\xff\xd8\xff\xe0JFIF", "x", "image/jpeg"),
    (b"%PDF-1.7\n", "x.pdf", "application/pdf"),
    (b"PK\x03\x04rest", "x.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b'{"a": 1}', "x.json", "application/json"),
    (b"<html><script>", "x.png", "text/plain"),
    (b"# Title", "README.MD", "text/markdown"),
    ("早".encode() * 2000, "x.csv", "text/csv"),
    (b"\x00\x01", "x.txt", "application/octet-stream"),
    (b"caf\xe9 and more text after it", "x.txt", "application/octet-stream"),
]


@pytest.mark.parametrize(("content", "name", "kind"), KINDS)
def test_kinds_are_told_by_content(files: Files, content: bytes, name: str, kind: str) -> None:
    assert files.stored(content, name)["content_type"] == kind


# What is refused

FILE = ('name="file"; filename="a.txt"', b"content")
WRONG: list[tuple[str, bytes, dict[str, Any], tuple[int, str, str | None]]] = [
    ("no multipart", b"content", {"headers": {"content-type": "text/plain"}}, (415, "unsupported_media_type", None)),
    ("no type", b"content", {"headers": {"content-type": ""}}, (415, "unsupported_media_type", None)),
    ("no boundary", form(FILE), {"headers": {"content-type": "multipart/form-data"}}, (400, "invalid_multipart", None)),
    ("another boundary", form(FILE), {"boundary": "other"}, (400, "invalid_multipart", None)),
    ("a long boundary", form(FILE), {"boundary": "b" * 300}, (400, "invalid_multipart", None)),
    ("cut", form(FILE)[:-8], {}, (400, "invalid_multipart", None)),
    ("nothing", b"", {}, (400, "invalid_multipart", None)),
    ("no file", form(('name="purpose"', b"batch")), {}, (400, "missing_field", "file")),
    ("empty", form(('name="file"; filename="a"', b"")), {}, (400, "empty_file", "file")),
    ("two files", form(FILE, FILE), {}, (400, "invalid_value", "file")),
    ("a part without a name", form(("x=y", b"")), {}, (400, "invalid_multipart", None)),
    ("a field twice", form(('name="purpose"', b"batch"), ('name="purpose"', b"batch")), {}, (400, "invalid_value", "purpose")),
    ("a long field", form(('name="purpose"', b"b" * 2000), FILE), {}, (400, "invalid_value", "purpose")),
    ("many fields", form(*[(f'name="f{n}"', b"") for n in range(17)], FILE), {}, (400, "invalid_value", "f16")),
    ("a purpose", form(('name="purpose"', b"fun"), FILE), {}, (400, "invalid_value", "purpose")),
    ("a purpose behind it", form(FILE, ('name="purpose"', b"fun")), {}, (400, "invalid_value", "purpose")),
    ("an end without anchor", form(FILE, ('name="expires_after[seconds]"', b"3600")), {}, (400, "invalid_value", "expires_after[anchor]")),
    ("an end too soon", form(FILE, ('name="expires_after[anchor]"', b"created_at"), ('name="expires_after[seconds]"', b"60")), {}, (400, "invalid_value", "expires_after[seconds]")),
]  # fmt: skip


@pytest.mark.parametrize("size", [0, 5])
@pytest.mark.parametrize(
    ("body", "options", "expected"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_what_is_refused_leaves_nothing(
    files: Files, body: bytes, options: dict[str, Any], expected: tuple[int, str, str | None], size: int
) -> None:
    answer = files.post(body, size=size, **options)
    assert (answer.status, answer.code, answer.param) == expected
    assert files.on_disk == []
    assert files.ask("GET").json["data"] == []


def test_over_the_limit_is_refused_at_the_byte_that_is_too_much(files: Files) -> None:
    files.world.files = FilesConfig(max_size=1000)
    body = upload_form(b"x" * 5000)
    answer = files.post(body, size=100, headers={"content-length": "0"})
    assert (answer.status, answer.code, answer.param) == (413, "payload_too_large", "file")
    assert 35 < files.unread < 45  # of 51 pieces
    assert files.on_disk == []
    assert files.upload(b"x" * 1000).status == 200


def test_what_says_that_it_is_too_large_is_not_read(files: Files) -> None:
    files.world.files = FilesConfig(max_size=1000)
    body = upload_form(b"x" * 100_000)
    answer = files.post(body, size=100)
    assert answer.status == 413
    assert files.unread == -(-len(body) // 100)


def test_a_project_has_so_much_room(files: Files) -> None:
    files.world.files = FilesConfig(per_project=3 * 4096)
    first = files.stored(b"x" * 5000)
    files.stored(b"x")  # a small one counts as a block
    assert (files.upload(b"x" * 4096).code, files.on_disk != []) == ("files_quota_exceeded", True)
    assert files.upload(b"x" * 3000).status == 413
    assert files.upload(b"x" * 4096, who=THEIRS).status == 200  # theirs is another
    files.ask("DELETE", f"/{first['id']}")
    assert files.upload(b"x" * 8192).status == 200
    full = files.post(upload_form(b"y" * 500), size=100)
    assert (full.status, full.code) == (413, "files_quota_exceeded")
    assert files.unread > 0


def test_a_client_that_leaves_leaves_nothing(files: Files) -> None:
    answer = files.post(upload_form(b"x" * 3_000_000), size=500_000, leaves=True)
    assert answer.status == 499
    assert files.on_disk == []
    assert files.ask("GET").json["data"] == []


def test_an_end_is_kept_and_comes(files: Files) -> None:
    ends = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    stored = files.stored(**ends)
    assert stored["expires_at"] == stored["created_at"] + 3600
    files.world.clock.advance(3599)
    assert files.ask("GET", f"/{stored['id']}").status == 200
    files.world.clock.advance(1)
    assert files.ask("GET", f"/{stored['id']}").status == 404
    assert files.ask("GET").json["data"] == []


def test_fields_may_stand_behind_the_file_and_unknown_ones_mean_nothing(files: Files) -> None:
    body = form(FILE, ('name="purpose"', b"fine-tune"), ('name="other"', b"x"))
    answer = files.post(body + b"epilogue")
    assert (answer.json["purpose"], answer.json["filename"]) == ("fine-tune", "a.txt")
    plain = files.post(form(('name="file"', b"content")))
    assert (plain.json["purpose"], plain.json["filename"]) == ("user_data", "file")


def test_the_boundary_is_only_where_it_is(files: Files) -> None:
    content = f"\r\n--{BOUNDARY[:-1]}\r\n-{BOUNDARY}\r\n--".encode()
    assert files.stored(content)["bytes"] == len(content)
