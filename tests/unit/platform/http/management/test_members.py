"""Members: added, given roles, removed; and an organisation is never without an owner."""

from __future__ import annotations

from sqlalchemy import select
from tests.unit.platform.identity.tenants import OURS, THEIRS, World, key_of

from abyssal.stores.sql.schema import credentials, users


def test_a_person_is_made_once_and_is_a_member_twice(world: World) -> None:
    made = world.ask(
        "owner", "POST", "/members", {"email": " New@Ours.Example ", "name": "N", "role": "viewer"}
    )
    assert made.status == 201
    shown = made.json
    assert (shown["email"], shown["name"], shown["role"]) == ("new@ours.example", "N", "viewer")
    assert (shown["id"], shown["organization"], shown["object"]) == (shown["user"], OURS, "member")
    people = world.count(users)
    body = {"email": "new@ours.example", "role": "admin", "organization": THEIRS}
    assert world.ask("operator", "POST", "/members", body).json["id"] == shown["id"]
    assert world.count(users) == people
    again = world.ask("owner", "POST", "/members", {"email": "NEW@ours.example", "role": "admin"})
    assert (again.status, again.code) == (409, "member_exists")
    assert world.ask("owner", "GET", f"/members/{shown['id']}").json["role"] == "viewer"


def test_a_role_is_one_of_four(world: World) -> None:
    for role in ("operator", "Owner", ""):
        answer = world.ask(
            "operator", "PATCH", "/members/user_4a", {"role": role}, query={"organization": OURS}
        )
        assert (answer.status, answer.param) == (400, "role")
        assert b"viewer" in answer.body


def test_the_last_owner_cannot_go(world: World) -> None:
    assert world.ask("owner", "DELETE", "/members/user_9a").status == 200
    for who in ("owner", "operator"):
        for method, body in (("DELETE", None), ("PATCH", {"role": "admin"})):
            answer = world.ask(who, method, "/members/user_1a", body, query={"organization": OURS})
            assert (answer.status, answer.code) == (409, "last_owner")
    assert world.ask("owner", "PATCH", "/members/user_1a", {"role": "owner"}).status == 200
    world.ask("owner", "PATCH", "/members/user_2a", {"role": "owner"})
    assert world.ask("owner", "PATCH", "/members/user_1a", {"role": "viewer"}).json["role"] == "viewer"
    assert world.ask("owner", "PATCH", "/members/user_2a", {"role": "viewer"}).status == 403


def test_who_is_removed_loses_their_credentials_there_and_only_there(world: World) -> None:
    add = {"email": "owner@theirs.example", "role": "member"}
    guest = world.ask("owner", "POST", "/members", add).json["id"]
    key = world.ask("owner", "POST", "/keys", {"name": "guest's", "user": guest}).json["id"]
    world.clock.advance(1)
    assert world.ask("owner", "DELETE", f"/members/{guest}").json["id"] == guest
    assert world.ask("owner", "GET", f"/members/{guest}").status == 404
    assert world.ask("owner", "GET", f"/keys/{key}").json["revoked_at"] == "2027-01-15T08:00:01Z"
    with world.engine.connect() as connection:
        rows = connection.execute(
            select(credentials.c.revoked_at).where(credentials.c.project_id == "proj_b0")
        )
        assert {revoked for (revoked,) in rows} == {None}
    assert world.ask("admin", "GET", "/me").status == 200
    world.ask("owner", "DELETE", "/members/user_2a")
    assert world.ask("admin", "GET", "/me").status == 401


def test_a_role_is_in_force_at_the_next_request(world: World) -> None:
    assert world.ask("admin", "POST", "/projects", {"name": "new"}).status == 201
    world.ask("owner", "PATCH", "/members/user_2a", {"role": "viewer"})
    assert world.ask("admin", "POST", "/projects", {"name": "new"}).status == 403
    assert world.ask("admin", "GET", "/me").json["role"] == "viewer"


def test_a_higher_role_takes_admin_from_keys_that_others_may_know(world: World) -> None:
    """An admin who made a member's key, and kept it, must not rise with the member."""
    assert world.ask("member", "GET", "/me").status == 200
    world.ask("owner", "PATCH", "/members/user_3a", {"role": "owner"})
    assert world.ask("member", "GET", "/me").status == 403
    made = world.ask("owner", "POST", "/keys", {"name": "new", "user": "user_3a", "scopes": ["admin"]})
    assert made.status == 201


def test_nobody_becomes_an_operator_by_being_added(world: World) -> None:
    """An owner adds the operator, and still cannot make a key that acts as them."""
    world.ask("operator", "DELETE", "/members/user_0a", query={"organization": OURS})
    add = {"email": "operator@ours.example", "role": "viewer"}
    assert world.ask("owner", "POST", "/members", add).status == 201
    answer = world.ask("owner", "POST", "/keys", {"name": "x", "user": "user_0a", "scopes": ["admin"]})
    assert answer.status == 403


def test_who_is_nobodys_member_is_nobody(world: World) -> None:
    """A person's credential without the membership behind it, however that came to be."""
    from sqlalchemy import delete

    from abyssal.stores.sql.schema import members

    with world.engine.begin() as connection:
        connection.execute(delete(members).where(members.c.user_id == "user_3a"))
    assert world.ask("member", "GET", "/me").status == 401
    assert world.ask("owner", "GET", f"/keys/{key_of('member')}").status == 200
