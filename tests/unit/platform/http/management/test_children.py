"""Rights of a child never exceed its parent's: organisation, project, credential, and who gives it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.platform.identity.tenants import MAIN, OURS, World, key_of

NARROW: dict[str, Any] = {
    "scopes": ["chat", "files", "admin"],
    "models": ["deepseek-chat", "deepseek-math"],
    "networks": ["10.0.0.0/8", "2001:db8::/32"],
}
WIDER = {
    "scopes": ["chat", "audio"],
    "models": ["deepseek-chat", "deepseek-code"],
    "networks": ["10.1.0.0/16", "11.0.0.0/8"],
}
WITHIN: dict[str, Any] = {
    "scopes": ["files"],
    "models": ["deepseek-math"],
    "networks": ["10.1.0.0/16", "2001:db8:1::/48", "10.9.9.9"],
}


def refused(answer: Any, field: str) -> None:
    assert (answer.status, answer.param, answer.code) == (400, field, "beyond_parent"), answer.body


@pytest.mark.parametrize("field", NARROW)
def test_a_project_is_within_its_organisation(field: str, world: World) -> None:
    world.ask("operator", "PATCH", f"/organizations/{OURS}", {field: NARROW[field]})
    refused(world.ask("owner", "POST", "/projects", {"name": "new", field: WIDER[field]}), field)
    refused(world.ask("owner", "PATCH", f"/projects/{MAIN}", {field: WIDER[field]}), field)
    refused(world.ask("operator", "PATCH", f"/projects/{MAIN}", {field: WIDER[field]}), field)
    assert world.ask("owner", "POST", "/projects", {"name": "new", field: WITHIN[field]}).status == 201
    made = world.ask("owner", "POST", "/projects", {"name": "new"})
    assert (made.status, made.json[field]) == (201, None)  # which is: as the organisation


@pytest.mark.parametrize("field", NARROW)
@pytest.mark.parametrize("above", ["organizations", "projects"])
@pytest.mark.parametrize("path", ["keys", "clients"])
def test_a_credential_is_within_its_project(path: str, above: str, field: str, world: World) -> None:
    parent = OURS if above == "organizations" else MAIN
    old = world.ask("owner", "POST", f"/{path}", {"name": "old"}).json["id"]
    world.ask("operator", "PATCH", f"/{above}/{parent}", {field: NARROW[field]})
    for who in ("owner", "operator"):
        body = {"name": "new", "project": MAIN, field: WIDER[field]}
        refused(world.ask(who, "POST", f"/{path}", body), field)
        refused(world.ask(who, "PATCH", f"/{path}/{old}", {field: WIDER[field]}), field)
    body = {"name": "new", field: WITHIN[field]}
    made = world.ask("owner", "POST", f"/{path}", body)
    assert made.status == 201
    assert made.json[field] == [w.replace("10.9.9.9", "10.9.9.9/32") for w in WITHIN[field]]
    assert world.ask("owner", "PATCH", f"/{path}/{old}", {"name": "renamed"}).json["name"] == "renamed"


def test_an_owner_narrows_and_an_operator_widens(world: World) -> None:
    path = f"/organizations/{OURS}"
    assert world.ask("owner", "PATCH", path, NARROW).status == 200
    for field, wide in WIDER.items():
        refused(world.ask("owner", "PATCH", path, {field: wide}), field)
        refused(world.ask("owner", "PATCH", path, {field: None}), field)
    assert world.ask("owner", "PATCH", path, {"models": ["deepseek-chat"], "name": "n"}).status == 200
    unlimited = dict.fromkeys(NARROW)
    assert world.ask("operator", "PATCH", path, unlimited).status == 200
    shown = world.ask("owner", "GET", path).json
    assert {field: shown[field] for field in NARROW} == unlimited


def test_who_said_no_scopes_gets_the_usual_ones_that_there_are(world: World) -> None:
    made = world.ask("owner", "POST", "/keys", {"name": "new"}).json
    assert {"admin", "models:train"}.isdisjoint(made["scopes"])
    assert "audit:read" in made["scopes"]
    world.ask("owner", "PATCH", f"/projects/{MAIN}", {"scopes": ["chat", "admin"]})
    assert world.ask("owner", "POST", "/keys", {"name": "new"}).json["scopes"] == ["chat"]
    world.ask("owner", "PATCH", f"/projects/{MAIN}", {"scopes": ["admin"]})
    answer = world.ask("owner", "POST", "/keys", {"name": "new"})
    assert (answer.status, answer.param) == (400, "scopes")


def test_a_member_gives_no_more_than_they_have_and_never_admin(world: World) -> None:
    key = key_of("member")
    assert world.ask("owner", "PATCH", f"/keys/{key}", NARROW).status == 200
    for field, wide in WIDER.items():
        refused(world.ask("member", "POST", "/keys", {"name": "new", field: wide}), field)
    refused(world.ask("member", "POST", "/keys", {"name": "new", "scopes": ["chat", "admin"]}), "scopes")
    made = world.ask("member", "POST", "/keys", {"name": "new"}).json
    assert (made["user"], made["scopes"]) == ("user_3a", ["chat", "files"])
    assert {field: made[field] for field in ("models", "networks")} == {
        field: NARROW[field] for field in ("models", "networks")
    }
    for field in ("models", "networks"):
        refused(world.ask("member", "PATCH", f"/keys/{made['id']}", {field: None}), field)
        refused(world.ask("member", "PATCH", f"/keys/{key}", {field: None}), field)
    refused(world.ask("member", "PATCH", f"/keys/{made['id']}", {"scopes": ["admin"]}), "scopes")
    kept = world.ask("member", "PATCH", f"/keys/{key}", {"scopes": ["admin", "chat"], "name": "kept"})
    assert (kept.status, kept.json["scopes"]) == (200, ["chat", "admin"])


def test_a_service_gives_no_more_than_it_has(world: World) -> None:
    key = key_of("service")
    world.ask("owner", "PATCH", f"/keys/{key}", {**NARROW, "expires_at": "2030-01-01T00:00:00Z"})
    for field, wide in WIDER.items():
        refused(world.ask("service", "POST", "/keys", {"name": "new", field: wide}), field)
    late = {"name": "new", "expires_at": "2031-01-01T00:00:00Z"}
    refused(world.ask("service", "POST", "/keys", late), "expires_at")
    refused(world.ask("service", "PATCH", f"/keys/{key}", {"expires_at": None}), "expires_at")
    made = world.ask("service", "POST", "/keys", {"name": "new", "scopes": ["admin"]}).json
    assert made["expires_at"] == "2030-01-01T00:00:00Z"
    assert (made["scopes"], made["models"], made["user"]) == (["admin"], NARROW["models"], None)


def test_a_tokens_scopes_bound_what_it_gives(world: World) -> None:
    for who in ("member", "service"):
        answer = world.ask(who, "POST", "/keys", {"name": "new", "scopes": ["chat"]}, scopes="admin files")
        refused(answer, "scopes")
        made = world.ask(who, "POST", "/keys", {"name": "new"}, scopes="admin files unheard:of").json
        assert made["scopes"] == ["files"]


def test_what_its_project_lost_a_caller_lost(world: World) -> None:
    assert world.ask("owner", "GET", "/me").json["role"] == "owner"
    world.ask("operator", "PATCH", f"/projects/{MAIN}", {"scopes": ["chat"]})
    assert world.ask("owner", "GET", "/me").status == 403
    world.ask("operator", "PATCH", f"/projects/{MAIN}", {"scopes": None})
    world.ask("operator", "PATCH", f"/organizations/{OURS}", {"scopes": ["chat"]})
    assert world.ask("owner", "GET", "/me").status == 403


def test_networks_are_kept_in_their_usual_notation(world: World) -> None:
    given = ["10.0.0.0/8", "10.0.0.0/255.0.0.0", "::ffff:192.0.2.0/120", "2001:DB8:0::/48", "192.0.2.1"]
    made = world.ask("owner", "POST", "/keys", {"name": "new", "networks": given}).json
    assert made["networks"] == ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/48", "192.0.2.1/32"]
