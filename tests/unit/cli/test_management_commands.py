"""What the management commands ask a platform over HTTP, and what they make of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from abyssal.cli.app import app
from abyssal.cli.management import Object
from abyssal.wire.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    PermissionDeniedError,
    ProtocolError,
    UnavailableError,
)

from .scripted_platform import ScriptedPlatform, credential, page

KEY = "sk-admin"
LAPTOP = credential(1, "laptop")
ORG = {"id": "org_" + "1" * 20, "name": "Acme", "archived_at": None}
PROJECTS = [
    {"id": f"proj_{digit * 20}", "name": name, "organization": ORG["id"], "archived_at": None}
    for digit, name in ("1a", "2b")
]

Run = Callable[..., str]


@pytest.fixture
def platform() -> Iterator[ScriptedPlatform]:
    with ScriptedPlatform({"GET /keys": page(LAPTOP), f"GET /keys/{LAPTOP['id']}": LAPTOP}) as platform:
        yield platform


@pytest.fixture
def run(
    platform: ScriptedPlatform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    """Runs a command against the platform, in a pipe; what it prints on standard output."""
    monkeypatch.setenv("ABYSSAL_BASE_URL", f"{platform.url}/v1")
    monkeypatch.setenv("ABYSSAL_API_KEY", KEY)
    monkeypatch.setenv("ABYSSAL_DATA", str(tmp_path))

    def run(*arguments: str) -> str:
        app(list(arguments), standalone_mode=False)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


def posted(platform: ScriptedPlatform) -> Object:
    """The body of the last request."""
    return platform.asked[-1].body


def test_a_list_is_lines_with_the_columns_that_scripts_cut(run: Run) -> None:
    line = run("keys", "list").rstrip("\n")
    assert "\n" not in line
    assert line.split("\t")[:3] == [LAPTOP["id"], "laptop", "...0001"]
    assert line.split("\t")[4:] == ["", "", "", LAPTOP["project"]]


def test_a_list_is_read_to_its_last_page(platform: ScriptedPlatform, run: Run) -> None:
    other = credential(2, "ci", revoked_at="2026-11-21T00:00:00Z")
    first, last = page(LAPTOP, after="c&1"), page(other)
    platform.answers["GET /keys"] = lambda asked: last if "after" in asked.query else first
    assert json.loads(run("keys", "list", "--json")) == [LAPTOP, other]
    assert [asked.query for asked in platform.asked] == [{"limit": "200"}, {"limit": "200", "after": "c&1"}]


def test_the_key_is_sent_and_never_shown(platform: ScriptedPlatform, run: Run) -> None:
    assert KEY not in run("keys", "list", "--json")
    assert {asked.authorization for asked in platform.asked} == {f"Bearer {KEY}"}


def test_the_base_url_may_end_before_v1(platform: ScriptedPlatform, run: Run) -> None:
    assert "laptop" in run("keys", "list", "--base-url", platform.url)
    assert "laptop" in run("keys", "list", "--base-url", f"{platform.url}/v1/")


def test_a_new_key_is_alone_on_its_line(platform: ScriptedPlatform, run: Run) -> None:
    platform.answers["POST /keys"] = {**LAPTOP, "secret": "sk-new"}
    assert run("keys", "create", " laptop ") == "sk-new\n"
    assert posted(platform)["name"] == "laptop"
    assert json.loads(run("keys", "create", "laptop", "--json")) == {**LAPTOP, "secret": "sk-new"}


def test_all_that_can_be_said_of_a_new_key_is_asked_for(platform: ScriptedPlatform, run: Run) -> None:
    ada = {"id": "user_" + "a" * 20, "email": "ada@example.com", "name": "Ada"}
    platform.answers |= {
        "POST /keys": {**LAPTOP, "secret": "sk-new"},
        "GET /organizations": page(ORG),
        "GET /projects": page(*PROJECTS),
        "GET /members": page(ada),
    }
    limits = ("--scope", "chat", "--scope", "admin", "--model", "m", "--network", "10.0.0.0/8")
    run("keys", "create", "ci", *limits, "--expires", "30d", "--user", "ada@example.com", "--org", "Acme",
        "--project", "b")  # fmt: skip
    assert posted(platform) == {
        "name": "ci", "scopes": ["chat", "admin"], "models": ["m"], "networks": ["10.0.0.0/8"],
        "expires_in": 2_592_000, "user": ada['id'], "project": PROJECTS[1]["id"],
    }  # fmt: skip
    inside = [
        asked.query.get("organization") for asked in platform.asked if asked.path in ("/projects", "/members")
    ]
    assert inside == [ORG["id"]] * 2


def test_an_organisation_with_several_projects_wants_one_named(platform: ScriptedPlatform, run: Run) -> None:
    platform.answers |= {"GET /organizations": page(ORG), "GET /projects": page(*PROJECTS)}
    with pytest.raises(ConfigurationError, match="has 2 projects; name one with --project: a, b"):
        run("keys", "create", "ci", "--org", "Acme")
    platform.answers |= {"GET /projects": page(PROJECTS[0]), "POST /keys": {**LAPTOP, "secret": "sk-new"}}
    run("keys", "create", "ci", "--org", "Acme")
    assert posted(platform)["project"] == PROJECTS[0]["id"]
    platform.answers["GET /projects"] = page()
    with pytest.raises(ConfigurationError, match=r"has no project; .*abyssal projects create"):
        run("keys", "create", "ci", "--org", "Acme")


def test_rotation_asks_for_the_overlap_in_seconds(platform: ScriptedPlatform, run: Run) -> None:
    path = f"/keys/{LAPTOP['id']}/rotate"
    platform.answers[f"POST {path}"] = {**LAPTOP, "secret": "sk-second"}
    assert run("keys", "rotate", "laptop") == "sk-second\n"
    assert posted(platform) == {"overlap": 86400}
    run("keys", "rotate", LAPTOP["id"], "--overlap", "0")
    assert posted(platform) == {"overlap": 0}
    assert platform.asked[-1].path == path


def test_revoking_says_whether_it_was_before(platform: ScriptedPlatform, run: Run) -> None:
    gone = {**LAPTOP, "revoked_at": "2026-11-21T00:00:00Z"}
    platform.answers[f"POST /keys/{LAPTOP['id']}/revoke"] = gone
    assert run("keys", "revoke", "laptop") == f"{LAPTOP['id']} (laptop) is revoked now\n"
    platform.answers["GET /keys"] = page(gone)
    assert "was revoked before" in run("keys", "revoke", "laptop")


def test_show_has_a_line_for_each_fact(platform: ScriptedPlatform, run: Run) -> None:
    lines = dict(line.split("\t") for line in run("keys", "show", "laptop").splitlines())
    assert lines["id"] == LAPTOP["id"]
    assert lines["secrets"] == "...0001"
    assert lines["scopes"] == "chat"
    assert lines["models"] == ""
    assert json.loads(run("keys", "show", LAPTOP["id"], "--json")) == LAPTOP


@pytest.mark.parametrize("kind", ["clients", "signing-keys"])
def test_the_other_kinds_are_asked_for_at_their_own_place(
    platform: ScriptedPlatform, run: Run, kind: str
) -> None:
    other = credential(5, "billing", object="client")
    platform.answers |= {f"GET /{kind}": page(other), f"POST /{kind}": {**other, "secret": "cs_new"}}
    assert run(kind, "create", "billing") == "cs_new\n"
    assert "billing" in run(kind, "list")


def test_a_public_key_is_sent_and_its_id_shown(platform: ScriptedPlatform, run: Run, tmp_path: Path) -> None:
    other = credential(5, "edge", object="public_key")
    platform.answers |= {"GET /public-keys": page(other), "POST /public-keys": other}
    platform.answers[f"POST /public-keys/{other['id']}/rotate"] = other
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n")
    assert run("public-keys", "create", "edge", "--public-key", str(file)) == f"{other['id']}\n"
    assert posted(platform)["public_key"] == file.read_text().strip()
    run("public-keys", "rotate", "edge", "--public-key", str(file), "--overlap", "1h")
    assert posted(platform) == {"overlap": 3600, "public_key": file.read_text().strip()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"-----BEGIN PRIVATE KEY-----\nMC4C\n", "private key, which was not sent; .*-pubout"),
        (b"\xff\xfe", "no text"),
        (b"x" * 5000, "longer than any public key"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_public_key_stays_here(
    platform: ScriptedPlatform, run: Run, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        run("public-keys", "create", "edge", "--public-key", str(file))
    assert platform.asked == []


def test_members_are_added_and_removed(platform: ScriptedPlatform, run: Run) -> None:
    ada = {"id": "user_" + "a" * 20, "email": "ada@example.com", "name": "Ada", "role": "admin"}
    place = f"/members/{ada['id']}"
    platform.answers |= {"POST /members": ada, "GET /members": page(ada), f"DELETE {place}": ada}
    assert run("members", "create", "ada@example.com", "--role", "admin", "--name", "Ada") == f"{ada['id']}\n"
    assert posted(platform) == {"email": "ada@example.com", "role": "admin", "name": "Ada"}
    for command in ("remove", "revoke"):
        assert "is removed now" in run("members", command, "ada@example.com")
        assert platform.asked[-1][:2] == ("DELETE", place)


def test_organisations_and_projects_are_archived(platform: ScriptedPlatform, run: Run) -> None:
    gone = {**ORG, "archived_at": "2026-11-21T00:00:00Z"}
    platform.answers |= {
        "POST /organizations": ORG,
        "GET /organizations": page(ORG),
        f"DELETE /organizations/{ORG['id']}": gone,
        "POST /projects": PROJECTS[0],
    }
    assert run("orgs", "create", "Acme", "--scope", "chat") == f"{ORG['id']}\n"
    assert posted(platform) == {"name": "Acme", "scopes": ["chat"]}
    run("projects", "create", "a", "--org", "Acme")
    assert posted(platform) == {"name": "a", "organization": ORG["id"]}
    for command in ("archive", "revoke"):
        assert run("orgs", command, "Acme") == f"{ORG['id']} (Acme) is archived now\n"


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (BadRequestError("name: at most 200 characters.", param="name"), ConfigurationError),
        (AuthenticationError("Nobody we know."), AuthenticationError),
        (PermissionDeniedError("Not with this key."), PermissionDeniedError),
        (ConflictError("The last owner cannot go."), ConflictError),
        (UnavailableError("The control process starts."), UnavailableError),
    ],
)
def test_a_refusal_is_told_at_once_as_the_platform_says_it(
    platform: ScriptedPlatform, run: Run, refusal: ApiError, raised: type[Exception]
) -> None:
    platform.answers["POST /keys"] = refusal
    with pytest.raises(raised, match=refusal.message):
        run("keys", "create", "x")
    assert len(platform.asked) == 1


def test_an_answer_that_is_no_object_is_told(platform: ScriptedPlatform, run: Run) -> None:
    platform.answers["POST /keys"] = lambda _: ["no object"]
    with pytest.raises(ProtocolError, match=r"POST /v1/platform/keys .* no object"):
        run("keys", "create", "x")


def test_an_explicit_key_or_address_wins_over_the_environment(
    platform: ScriptedPlatform, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("keys", "list", "--api-key", "sk-other")
    assert platform.asked[-1].authorization == "Bearer sk-other"
    monkeypatch.setenv("ABYSSAL_BASE_URL", "http://127.0.0.1:1")
    run("keys", "list", "--base-url", platform.url)
    assert len(platform.asked) == 2


def test_the_official_service_s_key_goes_to_no_platform(
    platform: ScriptedPlatform, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABYSSAL_API_KEY")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-official")
    with pytest.raises(ConfigurationError, match="ABYSSAL_API_KEY"):
        run("keys", "list")
    monkeypatch.delenv("ABYSSAL_BASE_URL")
    monkeypatch.setenv("DEEPSEEK_BASE_URL", platform.url)
    with pytest.raises(ConfigurationError, match="no platform's data directory"):
        run("keys", "list")
    assert platform.asked == []


def test_a_directory_or_a_file_named_means_this_machine(
    platform: ScriptedPlatform, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no platform's data directory"):
        run("keys", "list", "--data", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"nowhere.toml"):
        run("keys", "list", "--config", str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigurationError, match=r"--config .* --base-url"):
        run("keys", "list", "--config", str(tmp_path / "nowhere.toml"), "--base-url", platform.url)
    assert platform.asked == []
    assert list(tmp_path.iterdir()) == []
