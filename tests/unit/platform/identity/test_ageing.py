"""Old secrets: their owners are told, once in each period, and not about what is out of use."""

from __future__ import annotations

from sqlalchemy import select, update
from tests.unit.platform.identity.tenants import OURS, THEIRS, World, credential_of, key_of

from abyssal.platform.identity.ageing import KIND, count_old, warn_of_old_secrets
from abyssal.stores.sql.credential_secrets import OldSecret
from abyssal.stores.sql.revision import current_revision
from abyssal.stores.sql.schema import secrets

DAY = 86_400


def warn(world: World, days: int = 30) -> list[OldSecret]:
    return warn_of_old_secrets(world.engine, now_ns=world.now_ns, rotate_after_days=days)


def count(world: World, days: int = 30) -> int:
    with world.engine.connect() as connection:
        return count_old(connection, now_ns=world.now_ns, rotate_after_days=days)


def told(world: World, who: str = "viewer") -> list[dict[str, str]]:
    found: list[dict[str, str]] = world.ask(who, "GET", "/notifications", query={"limit": "200"}).json["data"]
    return found


def renew_all(world: World) -> None:
    with world.engine.begin() as connection:
        connection.execute(update(secrets).values(created_at=world.now_ns))


def test_each_organisation_is_told_of_its_own(world: World) -> None:
    found = warn(world)
    assert len(found) == world.count(secrets) == count(world)
    ours = told(world)
    assert {note["organization"] for note in ours} == {OURS}
    assert credential_of("api_key", "theirs") not in {note["subject"] for note in ours}
    theirs = told(world, "operator")
    assert {note["organization"] for note in theirs} == {OURS, THEIRS, "org_c0"}
    one = next(note for note in ours if note["subject"] == key_of("owner"))
    assert one["kind"] == KIND
    assert (
        f'...hint of the API key "{key_of("owner")}" ({key_of("owner")}) is 1157 days old' in one["message"]
    )


def test_nobody_is_told_twice_in_a_period(world: World) -> None:
    first = warn(world)
    assert warn(world) == []
    world.clock.advance(30 * DAY)
    assert warn(world) == []
    world.clock.advance(1)
    assert len(warn(world)) == len(first)
    assert count(world) == len(first)


def test_only_what_is_old_and_in_use(world: World) -> None:
    renew_all(world)
    assert count(world) == 0
    kept = world.ask("owner", "POST", "/keys", {"name": "kept"}).json["id"]
    revoked = world.ask("owner", "POST", "/keys", {"name": "revoked"}).json["id"]
    world.ask("owner", "POST", "/keys", {"name": "expired", "expires_in": 100})
    rotated = world.ask("owner", "POST", "/clients", {"name": "rotated"}).json["id"]
    spare = world.ask("owner", "POST", "/projects", {"name": "archived"}).json["id"]
    world.ask("owner", "POST", "/keys", {"name": "archived", "project": spare})
    with world.engine.connect() as connection:
        made = [
            row.id
            for row in connection.execute(select(secrets.c.id, secrets.c.warned_at))
            if row.warned_at is None
        ]
    assert made
    world.clock.advance(29 * DAY)
    world.ask("owner", "POST", f"/keys/{revoked}/revoke")
    world.ask("owner", "POST", f"/clients/{rotated}/rotate", {"overlap": 10 * DAY})
    world.ask("owner", "DELETE", f"/projects/{spare}")
    for who in ("operator", "owner", "admin", "member", "viewer", "service"):
        for kind, path in (("api_key", "keys"), ("client", "clients"), ("signing_key", "signing-keys")):
            world.ask("operator", "POST", f"/{path}/{credential_of(kind, who)}/rotate", {"overlap": 0})
    world.clock.advance(DAY)
    assert warn(world) == []  # 30 days are not over 30 days
    world.clock.advance(1)
    found = {secret.credential_id for secret in warn(world)}
    assert kept in found
    assert found.isdisjoint({revoked, rotated})
    assert credential_of("api_key", "owner") not in found
    assert credential_of("public_key", "owner") in found
    assert not [
        secret for secret in found if secret not in {note["subject"] for note in told(world, "operator")}
    ]
    assert count(world) == len(found)


def test_the_data_plane_hears_nothing_of_it(world: World) -> None:
    with world.engine.connect() as connection:
        before = current_revision(connection)
    warn(world)
    with world.engine.connect() as connection:
        assert current_revision(connection) == before
