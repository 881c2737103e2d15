"""Organisations, projects and credentials from their making to their end, as their owners see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.platform.identity.tenants import (
    ED25519,
    MAIN,
    OURS,
    SPARE,
    World,
    credential_of,
    key_of,
    sqlite_world,
)

from abyssal.platform.http.management.endpoints import KINDS
from abyssal.stores.api_keys import is_mistyped
from abyssal.stores.rights import SCOPES
from abyssal.stores.sql.schema import credentials, projects

NOW = "2027-01-15T08:00:00Z"


def stamps(world: World) -> dict[str, int]:
    with world.engine.connect() as connection:
        rows = [
            row
            for table in (projects, credentials)
            for row in connection.execute(select(table.c.id, table.c.revision))
        ]
    return {name: revision for name, revision in rows}


@pytest.mark.parametrize(("path", "kind"), KINDS.items())
def test_a_credential_from_making_to_revoking(path: str, kind: str, world: World) -> None:
    body = {"name": "new", "expires_in": 3600, "models": ["deepseek-chat"]}
    if kind == "public_key":
        body["public_key"] = ED25519
    before = stamps(world)
    made = world.ask("owner", "POST", f"/{path}", body)
    assert made.status == 201
    assert (b"cache-control", b"no-store") in made.headers
    one = made.json
    secret = one.pop("secret", None)
    assert (secret is None) == (kind == "public_key")
    assert one == {
        "id": one["id"],
        "object": kind,
        "name": "new",
        "project": MAIN,
        "organization": OURS,
        "user": None,
        "scopes": [scope for scope in SCOPES if scope not in ("admin", "models:train")],
        "models": ["deepseek-chat"],
        "networks": None,
        "hint": "HURo" if secret is None else secret[-4:],
        "created_at": NOW,
        "expires_at": "2027-01-15T09:00:00Z",
        "revoked_at": None,
        "last_used_at": None,
        "secrets": [
            {"id": one["secrets"][0]["id"], "hint": one["hint"], "created_at": NOW, "expires_at": None}
        ],
    }
    assert one["id"].partition("_")[0] in ("key", "client", "sig", "pub")
    assert world.ask("owner", "GET", f"/{path}/{one['id']}").json == one
    changed = world.ask(
        "owner", "PATCH", f"/{path}/{one['id']}", {"name": "other", "expires_at": None, "models": None}
    )
    assert changed.json == one | {"name": "other", "expires_at": None, "models": None}
    revoked = world.ask("owner", "DELETE", f"/{path}/{one['id']}")
    assert revoked.json == changed.json | {"revoked_at": NOW}
    world.clock.advance(10)
    assert world.ask("owner", "POST", f"/{path}/{one['id']}/revoke").json == revoked.json
    answer = world.ask("owner", "PATCH", f"/{path}/{one['id']}", {"name": "late"})
    assert (answer.status, answer.code) == (409, "revoked")
    after = stamps(world)
    assert {name for name in after if after[name] != before.get(name)} == {one["id"]}
    assert world.in_force == 4  # every change but the one that was refused


def test_an_api_key_has_a_checksum_and_is_stored_nowhere(world: World, tmp_path: Path) -> None:
    key = world.ask("owner", "POST", "/keys", {"name": "new"}).json["secret"]
    assert key.startswith("sk-")
    assert not is_mistyped(key.encode())
    assert is_mistyped(key.encode()[:-1] + (b"0" if key[-1] != "0" else b"1"))
    for file in tmp_path.iterdir():
        assert key.encode() not in file.read_bytes(), file


def test_a_revoked_or_expired_credential_asks_in_vain(world: World) -> None:
    for who in ("admin", "service"):
        assert world.ask(who, "GET", "/me").status == 200
    world.ask("owner", "POST", f"/keys/{key_of('admin')}/revoke")
    world.ask("owner", "PATCH", f"/keys/{key_of('service')}", {"expires_at": "2027-01-15T08:00:05Z"})
    assert world.ask("service", "GET", "/me").status == 200
    world.clock.advance(5)
    answers = [world.ask(who, "GET", "/me") for who in ("admin", "service", "key_dead")]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1


def test_an_archived_project_takes_its_credentials_with_it(world: World) -> None:
    before = stamps(world)
    gone = world.ask("operator", "DELETE", f"/projects/{MAIN}")
    assert gone.json["archived_at"] == NOW
    assert world.ask("owner", "GET", "/me").status == 401
    after = stamps(world)
    assert {name for name in after if after[name] != before[name]} == {MAIN}
    assert world.ask("operator", "DELETE", f"/projects/{MAIN}").json == gone.json
    for path, body in ((f"/projects/{MAIN}", {"name": "new"}),):
        assert world.ask("operator", "PATCH", path, body).code == "archived"
    assert world.ask("operator", "POST", "/keys", {"name": "new", "project": MAIN}).code == "archived"


def test_an_archived_organisation_takes_everything_with_it(world: World) -> None:
    before = stamps(world)
    assert world.ask("operator", "DELETE", f"/organizations/{OURS}").json["archived_at"] == NOW
    after = stamps(world)
    assert {name for name in after if after[name] != before[name]} == {MAIN, SPARE}
    assert world.ask("owner", "GET", "/me").status == 401
    body = {"name": "new", "organization": OURS}
    assert world.ask("operator", "POST", "/projects", body).code == "archived"
    body = {"email": "a@b.example", "role": "viewer", "organization": OURS}
    assert world.ask("operator", "POST", "/members", body).code == "archived"


def test_nobody_saws_off_the_branch_that_they_sit_on(world: World) -> None:
    assert world.ask("owner", "DELETE", f"/projects/{MAIN}").code == "in_use"
    assert world.ask("operator", "DELETE", "/organizations/org_c0").code == "in_use"
    assert world.ask("owner", "DELETE", f"/projects/{SPARE}").status == 200


def test_limits_of_an_organisation_stamp_its_projects(world: World) -> None:
    before = stamps(world)
    world.ask("operator", "PATCH", f"/organizations/{OURS}", {"models": ["deepseek-chat"]})
    after = stamps(world)
    assert {name for name in after if after[name] != before[name]} == {MAIN, SPARE}


def test_a_refusal_changes_no_revision(world: World) -> None:
    before = stamps(world)
    world.ask("viewer", "POST", "/keys", {"name": "new"})
    world.ask("owner", "POST", "/keys", {"name": ""})
    assert stamps(world) == before
    assert world.in_force == 0


def test_who_one_is(world: World) -> None:
    assert world.ask("member", "GET", "/me", scopes="chat admin").json == {
        "object": "caller",
        "credential": key_of("member"),
        "project": MAIN,
        "organization": OURS,
        "user": "user_3a",
        "role": "member",
        "scopes": ["chat", "admin"],
    }
    assert world.ask("service", "GET", "/me").json["user"] is None


def test_the_owner_of_the_data_directory_needs_no_credential_and_no_name(
    tmp_path: Path, tenants_template: Path
) -> None:
    with sqlite_world(tmp_path, tenants_template, local=True) as world:
        assert world.ask("", "GET", "/me").json["role"] == "operator"
        assert len(world.ask("", "GET", "/organizations").json["data"]) == 3
        answer = world.ask("", "POST", "/keys", {"name": "laptop"})
        assert (answer.status, answer.param) == (400, "organization")  # of three there is none to choose
        for tenant in (OURS, "org_b0"):
            world.ask("", "DELETE", f"/organizations/{tenant}")
        made = world.ask("", "POST", "/keys", {"name": "laptop"})
        assert (made.status, made.json["project"]) == (201, "proj_c0")
        again = world.ask("", "POST", "/keys", {"name": "n"}, headers={"idempotency-key": "k"})
        assert (
            world.ask("", "POST", "/keys", {"name": "n"}, headers={"idempotency-key": "k"}).body == again.body
        )


def test_a_project_asked_for_by_another_organisation_is_not_there(world: World) -> None:
    assert world.ask("operator", "GET", f"/projects/{MAIN}", query={"organization": OURS}).status == 200
    assert world.ask("operator", "GET", f"/projects/{MAIN}", query={"organization": "org_b0"}).status == 404


def test_another_kinds_field_is_unknown(world: World) -> None:
    answer = world.ask("owner", "POST", "/keys", {"name": "new", "public_key": ED25519})
    assert (answer.status, answer.param, answer.code) == (400, "public_key", "unknown_field")
    assert world.ask("owner", "GET", f"/keys/{credential_of('client', 'owner')}").status == 404
