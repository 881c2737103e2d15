"""Management on each database: what is said, what is kept, and several nodes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select
from tests.unit.platform.identity.tenants import (
    ED25519,
    MAIN,
    OURS,
    ROOT,
    THEIRS,
    Answer,
    World,
    call_async,
    credential_of,
    key_of,
    populate,
)

from abyssal.platform.first_key import ensure_first_key
from abyssal.platform.identity.ageing import count_old, warn_of_old_secrets
from abyssal.platform.identity.objects import moment
from abyssal.stores.sql.credentials import touch
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.schema import credentials, members, notifications, secrets

T = TypeVar("T")


@pytest.fixture
def world(each_database: str, tmp_path: Path) -> Iterator[World]:
    engine = open_database(each_database)
    yield populate(World(engine, tmp_path))
    engine.dispose()


def at_once(world: World, requests: list[tuple[str, str, str, bytes, dict[str, str]]]) -> list[Answer]:
    """Requests (who, method, path, body, headers), each on a connection of its own."""

    async def together() -> list[Answer]:
        app = world.app(threads=True)
        return await asyncio.gather(
            *(
                call_async(
                    app, method, ROOT + path, b"",
                    {"x-abyssal-credential": key_of(who), "x-abyssal-scopes": "admin chat", **headers}, body,
                )
                for who, method, path, body, headers in requests
            )
        )  # fmt: skip

    return asyncio.run(together())


def several(work: Callable[[], T], times: int = 4) -> list[T]:
    with ThreadPoolExecutor(times) as threads:
        return [future.result() for future in [threads.submit(work) for _ in range(times)]]


def test_a_life(world: World) -> None:
    limits = {"scopes": ["chat", "admin"], "models": ["深度求索", "a'b"], "networks": ["10.0.0.0/8"]}
    project = world.ask("owner", "POST", "/projects", {"name": "n'ew 🐙", **limits}).json
    assert world.ask("owner", "GET", f"/projects/{project['id']}").json == project
    for path, more in (
        ("keys", {}),
        ("clients", {}),
        ("signing-keys", {}),
        ("public-keys", {"public_key": ED25519}),
    ):
        body = {"name": "new", "project": project["id"], "scopes": ["chat"], "expires_in": 60, **more}
        made = world.ask("owner", "POST", f"/{path}", body)
        assert made.status == 201
        one = f"/{path}/{made.json['id']}"
        world.clock.advance(1)
        rotated = world.ask("owner", "POST", f"{one}/rotate", {"overlap": 5, **more})
        assert len(rotated.json["secrets"]) == 2
        assert world.ask("owner", "PATCH", one, {"expires_at": None}).json["expires_at"] is None
        assert world.ask("owner", "DELETE", one).json["revoked_at"] is not None
    assert world.ask("owner", "DELETE", f"/projects/{project['id']}").status == 200
    assert world.ask("owner", "DELETE", "/members/user_2a").status == 200
    assert world.ask("admin", "GET", "/me").status == 401


def test_pages(world: World) -> None:
    found: list[str] = []
    query = {"limit": "3"}
    while True:
        page = world.ask("operator", "GET", "/keys", query=query).json
        found += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert len(found) == len(set(found)) == 14
    assert found == sorted(found)  # all made at the same moment


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "' OR 1=1--", "'; DROP TABLE users; --", "\\", "x" * 5000, "🐙"]
)
def test_strings_go_nowhere(text: str, world: World) -> None:
    assert world.ask("owner", "GET", f"/keys/{text}").status == 404
    assert world.ask(text, "GET", "/me").status == 401
    for name in ("organization", "project"):
        assert world.ask("owner", "GET", "/keys", query={name: text}).status in (400, 404)
    for path, field in (
        ("/projects", "name"), ("/keys", "name"), ("/keys", "project"), ("/keys", "user"), ("/members", "email"),
        ("/members", "organization"), ("/projects", "organization"),
    ):  # fmt: skip
        body: dict[str, Any] = (
            {"name": "new"} if path != "/members" else {"email": "a@b.example", "role": "viewer"}
        )
        answer = world.ask("owner", "POST", path, body | {field: text})
        assert answer.status in (201, 400, 404), answer.body
    assert world.ask("owner", "POST", "/keys", {"name": "n", "models": [text]}).status in (201, 400)


def test_anothers_is_the_same_nothing(world: World) -> None:
    for path in ("keys/key_e7", "clients/client_e7", "projects/proj_b0", f"organizations/{THEIRS}"):
        theirs = world.ask("owner", "GET", f"/{path}")
        unknown = world.ask("owner", "GET", f"/{path.partition('_')[0]}_dead")
        assert theirs.status == 404
        assert theirs.whole == unknown.whole


def test_the_same_creation_many_times_at_once_makes_one(world: World) -> None:
    before = world.count(credentials)
    one = ("owner", "POST", "/clients", b'{"name":"new"}', {"idempotency-key": "k"})
    answers = at_once(world, [one] * 8)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert world.count(credentials) == before + 1


def test_two_owners_who_remove_each_other_leave_one(world: World) -> None:
    def owners() -> set[str]:
        query = select(members.c.user_id).where(members.c.organization_id == OURS, members.c.role == "owner")
        with world.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    assert owners() == {"user_1a", "user_9a"}
    requests = [
        ("owner", "PATCH", f"/members/{user}", b'{"role":"viewer"}', {}) for user in ("user_1a", "user_9a")
    ] * 3
    answers = at_once(world, requests)
    assert {answer.status for answer in answers} <= {200, 403, 409}
    assert len(owners()) == 1


def test_rotations_at_once_leave_two_good_secrets(world: World) -> None:
    path = f"/keys/{credential_of('api_key', 'owner')}"
    answers = at_once(world, [("owner", "POST", f"{path}/rotate", b"{}", {})] * 6)
    assert {answer.status for answer in answers} == {200}
    assert len(world.ask("owner", "GET", path).json["secrets"]) == 2
    with world.engine.connect() as connection:
        ends = connection.execute(
            select(secrets.c.expires_at).where(secrets.c.credential_id == credential_of("api_key", "owner"))
        ).scalars()
        assert sorted(end is None for end in ends) == [False] * 6 + [True]


def test_nodes_that_warn_at_once_warn_once(world: World) -> None:
    found = several(lambda: warn_of_old_secrets(world.engine, now_ns=world.now_ns, rotate_after_days=30))
    ids = [secret.secret_id for part in found for secret in part]
    assert len(ids) == len(set(ids)) == world.count(secrets) == world.count(notifications)
    with world.engine.connect() as connection:
        assert count_old(connection, now_ns=world.now_ns, rotate_after_days=30) == len(ids)
    assert {note["kind"] for note in world.ask("viewer", "GET", "/notifications").json["data"]} == {
        "secret_old"
    }


def test_nodes_that_start_at_once_make_one_first_key(each_database: str, tmp_path: Path) -> None:
    engine = open_database(each_database)
    world = World(engine, tmp_path)
    made = several(lambda: ensure_first_key(engine, world.vault, tmp_path, "", now_ns=5))
    keys = [first.key for first in made if first.key is not None]
    assert len(keys) == world.count(credentials) == 1
    assert (tmp_path / "first-key").read_text().strip() == keys[0]
    engine.dispose()


def test_uses_are_noted(world: World) -> None:
    with world.engine.begin() as connection:
        touch(connection, {key_of("owner"): 50, key_of("admin"): 60})
        touch(connection, {key_of("owner"): 40})
    assert (
        world.ask("owner", "GET", f"/keys/{key_of('owner')}").json["last_used_at"] == "1970-01-01T00:00:00Z"
    )
    assert world.ask("owner", "GET", "/keys", query={"project": MAIN}).status == 200


def test_nodes_that_note_the_same_uses_at_once_do_not_stop_each_other(world: World) -> None:
    names = [world.ask("owner", "POST", "/keys", {"name": f"k{n}"}).json["id"] for n in range(20)]
    moments = count(1)

    def noted(order: list[str]) -> None:
        for _ in range(30):
            with world.engine.begin() as connection:
                touch(connection, dict.fromkeys(order, next(moments)))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(noted, names), pool.submit(noted, names[::-1])]:
            done.result()
    assert world.ask("owner", "GET", f"/keys/{names[0]}").json["last_used_at"] == "1970-01-01T00:00:00Z"


def test_management_itself_is_a_use(world: World) -> None:
    assert world.ask("admin", "GET", "/me").status == 200
    assert world.ask("service", "POST", "/keys", {"name": "x", "scopes": ["chat"]}).status == 201
    seen = {
        who: world.ask("owner", "GET", f"/keys/{key_of(who)}").json["last_used_at"]
        for who in ("admin", "service", "viewer")
    }
    assert seen == {"admin": moment(world.now_ns), "service": moment(world.now_ns), "viewer": None}
