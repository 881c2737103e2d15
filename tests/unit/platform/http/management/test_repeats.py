"""The same creation twice makes one thing, and gives the same answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.unit.platform.identity.tenants import ED25519, OURS, ROOT, World, call_async, key_of

from abyssal.platform.http.management.endpoints import ENDPOINTS
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.schema import credentials, idempotency_keys, organizations, projects

BODIES: dict[str, dict[str, Any]] = {
    "/organizations": {"name": "new"},
    "/projects": {"name": "new"},
    "/members": {"email": "new@ours.example", "role": "viewer", "organization": OURS},
    "/public-keys": {"name": "new", "public_key": ED25519},
    "/public-keys/{id}/rotate": {"public_key": ED25519},
}
KEY = {"idempotency-key": "7f3a"}
CREATIONS = [e.path for e in ENDPOINTS if e.method == "POST" and not e.path.endswith("/revoke")]


def place(path: str) -> str:
    prefix = {"keys": "key", "clients": "client", "signing-keys": "sig", "public-keys": "pub"}
    return path.replace("{id}", prefix.get(path.split("/")[1], "") + "_e5")


@pytest.mark.parametrize("path", CREATIONS)
def test_the_same_request_gets_the_same_answer(path: str, world: World) -> None:
    body = BODIES.get(path, {} if path.endswith("/rotate") else {"name": "new"})
    first = world.ask("operator", "POST", place(path), body, headers=KEY)
    assert first.status in (200, 201)
    counts = [world.count(table) for table in (credentials, organizations, projects)]
    world.clock.advance(86_399)
    again = world.ask("operator", "POST", place(path), body, headers=KEY)
    assert again.whole == first.whole
    assert [world.count(table) for table in (credentials, organizations, projects)] == counts


def test_without_a_key_each_request_makes_one(world: World) -> None:
    ids = {world.ask("owner", "POST", "/keys", {"name": "new"}).json["id"] for _ in range(2)}
    assert len(ids) == 2


def test_another_request_with_the_same_key_is_refused(world: World) -> None:
    world.ask("owner", "POST", "/keys", {"name": "new"}, headers=KEY)
    for path, body in (("/keys", {"name": "other"}), ("/clients", {"name": "new"})):
        answer = world.ask("owner", "POST", path, body, headers=KEY)
        assert (answer.status, answer.code) == (409, "idempotency_conflict")


def test_keys_are_each_callers_own(world: World) -> None:
    first = world.ask("owner", "POST", "/keys", {"name": "new"}, headers=KEY).json
    other = world.ask("admin", "POST", "/keys", {"name": "new"}, headers=KEY).json
    assert first["id"] != other["id"]
    assert first["secret"] != other["secret"]


def test_after_a_day_a_key_is_as_good_as_new(world: World) -> None:
    first = world.ask("owner", "POST", "/keys", {"name": "new"}, headers=KEY).json
    world.clock.advance(86_401)
    assert world.ask("owner", "POST", "/keys", {"name": "new"}, headers=KEY).json["id"] != first["id"]
    assert world.count(idempotency_keys) == 1  # and the old answer is gone


def test_the_answer_rests_sealed(world: World) -> None:
    secret = world.ask("owner", "POST", "/clients", {"name": "new"}, headers=KEY).json["secret"]
    with world.engine.connect() as connection:
        sealed = connection.execute(select(idempotency_keys.c.sealed)).scalar_one()
    assert secret.encode() not in sealed


def test_a_refusal_is_not_kept(world: World) -> None:
    assert world.ask("owner", "POST", "/keys", {"name": ""}, headers=KEY).status == 400
    assert world.ask("owner", "POST", "/keys", {"name": "new"}, headers=KEY).status == 201


def test_who_is_revoked_gets_no_answer_again(world: World) -> None:
    world.ask("admin", "POST", "/keys", {"name": "new"}, headers=KEY)
    world.ask("owner", "POST", f"/keys/{key_of('admin')}/revoke")
    assert world.ask("admin", "POST", "/keys", {"name": "new"}, headers=KEY).status == 401


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "a\0b", "a\tb"])
def test_a_malformed_key_is_refused(key: str, world: World) -> None:
    answer = world.ask("owner", "POST", "/keys", {"name": "new"}, headers={"idempotency-key": key})
    assert (answer.status, answer.param) == (400, "Idempotency-Key")


@pytest.mark.parametrize("key", ["!", "x" * 255, "7f3a-';DROP-TABLE--", "~"])
def test_any_visible_ascii_is_a_key(key: str, world: World) -> None:
    headers = {"idempotency-key": key}
    ids = {world.ask("owner", "POST", "/keys", {"name": "new"}, headers=headers).json["id"] for _ in range(2)}
    assert len(ids) == 1


def test_many_at_once_make_one(tmp_path: Path, tenants_template: Path, world: World) -> None:
    """Each with a connection of its own, as of several nodes on one database."""
    many = World(open_database(sqlite_url(tmp_path / "abyssal.db")), tmp_path)
    headers = {"x-abyssal-credential": key_of("owner"), "x-abyssal-scopes": "admin", **KEY}
    before = world.count(credentials)

    async def together() -> list[Any]:
        asked = [
            call_async(many.app(threads=True), "POST", f"{ROOT}/keys", b"", headers, b'{"name":"new"}')
            for _ in range(8)
        ]
        return await asyncio.gather(*asked)

    try:
        answers = asyncio.run(together())
    finally:
        many.engine.dispose()
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert world.count(credentials) == before + 1
