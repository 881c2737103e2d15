"""A new secret beside the old one: how long which is good, and who may have it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.unit.platform.identity.tenants import ED25519, NS, OURS, World, credential_of, key_of

from abyssal.platform.http.management.endpoints import KINDS
from abyssal.stores.api_keys import digest_of
from abyssal.stores.sealing import Place
from abyssal.stores.sql.schema import credentials, secrets

OTHER = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="  # RFC 8032 §7.1, test 2


def made(world: World, path: str, **more: Any) -> dict[str, Any]:
    body = {"name": "new", **({"public_key": ED25519} if path == "public-keys" else {}), **more}
    return world.ask("owner", "POST", f"/{path}", body).json


def rotated(world: World, path: str, one: dict[str, Any], **body: Any) -> dict[str, Any]:
    if path == "public-keys":
        body["public_key"] = OTHER
    answer = world.ask("owner", "POST", f"/{path}/{one['id']}/rotate", body)
    assert answer.status == 200, answer.body
    return answer.json


def ends(world: World, one: dict[str, Any]) -> list[int | None]:
    """When its secrets end, in seconds from now, oldest first."""
    with world.engine.connect() as connection:
        rows = connection.execute(
            select(secrets.c.expires_at)
            .where(secrets.c.credential_id == one["id"])
            .order_by(secrets.c.created_at)
        )
        return [None if end is None else (end - world.now_ns) // NS for (end,) in rows]


@pytest.mark.parametrize("path", KINDS)
def test_the_old_one_is_good_for_the_overlap(path: str, world: World) -> None:
    one = made(world, path)
    world.clock.advance(60)
    after = rotated(world, path, one)
    assert ends(world, one) == [86_400, None]
    assert [secret["hint"] for secret in after["secrets"]] == [one["hint"], after["hint"]]
    assert (after["secrets"][0]["expires_at"], after["secrets"][1]["expires_at"]) == (
        "2027-01-16T08:01:00Z",
        None,
    )
    assert ("secret" in after) == (path != "public-keys")
    assert after.get("secret") != one.get("secret") or path == "public-keys"
    shown = world.ask("owner", "GET", f"/{path}/{one['id']}").json
    assert shown == {name: value for name, value in after.items() if name != "secret"}
    world.clock.advance(86_400)
    assert len(world.ask("owner", "GET", f"/{path}/{one['id']}").json["secrets"]) == 1


def test_at_once(world: World) -> None:
    one = made(world, "keys")
    world.clock.advance(1)
    assert len(rotated(world, "keys", one, overlap=0)["secrets"]) == 1
    assert ends(world, one) == [0, None]


def test_a_third_ends_the_oldest(world: World) -> None:
    one = made(world, "keys")
    for _ in range(2):
        world.clock.advance(10)
        after = rotated(world, "keys", one, overlap=1000)
    assert ends(world, one) == [0, 1000, None]
    assert len(after["secrets"]) == 2


def test_the_newest_stays_when_the_clock_was_set_back(world: World) -> None:
    one = made(world, "keys")
    world.clock.set_unix(1_790_000_000)
    after = rotated(world, "keys", one)
    assert after["secrets"][-1]["hint"] == after["hint"] == after["secret"][-4:]
    again = rotated(world, "keys", one)
    assert again["hint"] == again["secret"][-4:]
    assert after["hint"] == again["secrets"][0]["hint"]


def test_what_is_stored_proves_and_does_not_tell(world: World) -> None:
    for path in KINDS:
        one = made(world, path)
        with world.engine.connect() as connection:
            row = connection.execute(select(secrets).where(secrets.c.credential_id == one["id"])).one()
        kept = [name for name in ("digest", "sealed", "public_key") if getattr(row, name) is not None]
        if path == "keys":
            assert kept == ["digest"]
            assert row.digest == digest_of(one["secret"].encode(), world.vault.hash_key())
        elif path == "public-keys":
            assert kept == ["public_key"]
            assert len(row.public_key) == 32
        else:
            assert kept == ["sealed"]
            opened = world.vault.open(row.sealed, Place(OURS, "secrets", row.id))
            assert opened.decode() == one["secret"]
            assert one["secret"].startswith("cs_" if path == "clients" else "ss_")
        assert row.hint == (one["secret"][-4:] if "secret" in one else "HURo")


def test_a_rotation_is_a_change_that_workers_follow(world: World) -> None:
    one = made(world, "keys")

    def stamp() -> int:
        query = select(credentials.c.revision).where(credentials.c.id == one["id"])
        with world.engine.connect() as connection:
            return connection.execute(query).scalar_one()

    before, waited = stamp(), world.in_force
    rotated(world, "keys", one)
    assert stamp() > before
    assert world.in_force == waited + 1


def test_what_is_out_of_force_is_not_rotated(world: World) -> None:
    revoked, expired = made(world, "keys"), made(world, "keys", expires_in=5)
    world.ask("owner", "POST", f"/keys/{revoked['id']}/revoke")
    world.clock.advance(5)
    for one, code in ((revoked, "revoked"), (expired, "expired")):
        answer = world.ask("owner", "POST", f"/keys/{one['id']}/rotate", {})
        assert (answer.status, answer.code) == (409, code)


@pytest.mark.parametrize("overlap", [-1, 31_536_001, 1.5, "60", None])
def test_a_strange_overlap_is_refused(overlap: Any, world: World) -> None:
    answer = world.ask(
        "owner", "POST", f"/keys/{credential_of('api_key', 'owner')}/rotate", {"overlap": overlap}
    )
    assert (answer.status, answer.param) == (400, "overlap")


def test_a_public_key_comes_from_its_owner(world: World) -> None:
    answer = world.ask("owner", "POST", f"/public-keys/{credential_of('public_key', 'owner')}/rotate", {})
    assert (answer.status, answer.param) == (400, "public_key")
    answer = world.ask(
        "owner", "POST", f"/keys/{credential_of('api_key', 'owner')}/rotate", {"public_key": OTHER}
    )
    assert (answer.status, answer.param) == (400, "public_key")


def test_a_narrow_credential_gets_no_wide_ones_secret(world: World) -> None:
    """A member's or a service's token with few scopes does not become one with more."""
    for who in ("member", "service"):
        target = credential_of("api_key", who)
        assert world.ask(who, "POST", f"/keys/{target}/rotate", scopes="admin chat").status == 403
        assert world.ask(who, "POST", f"/keys/{key_of(who)}/rotate", scopes="admin chat").status == 403
        assert world.ask(who, "POST", f"/keys/{key_of(who)}/rotate").status == 200
        lasting = made(world, "keys", user=None if who == "service" else "user_3a")["id"]
        world.ask("owner", "PATCH", f"/keys/{key_of(who)}", {"expires_at": "2030-01-01T00:00:00Z"})
        assert world.ask(who, "POST", f"/keys/{lasting}/rotate").status == 403
        world.ask("owner", "PATCH", f"/keys/{lasting}", {"expires_at": "2029-01-01T00:00:00Z"})
        assert world.ask(who, "POST", f"/keys/{lasting}/rotate").status == 200
