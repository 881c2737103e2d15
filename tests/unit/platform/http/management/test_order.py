"""What a management request may cost a stranger, and what is said when a change is not in force in time."""

from __future__ import annotations

import pytest
from tests.unit.platform.identity.tenants import World, key_of

from abyssal.platform.http.management.endpoints import ENDPOINTS


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_a_stranger_never_reaches_the_database(world: World, endpoint: object) -> None:
    """Such as one who found a spelling of the path that the workers do not know."""
    method, path = endpoint.method, endpoint.path.replace("{id}", key_of("owner"))  # type: ignore[attr-defined]
    assert world.ask("", method, path, {"name": "x"}).status == 401
    assert world.asked == 0


@pytest.mark.parametrize(("method", "suffix"), [("DELETE", ""), ("POST", "/revoke")])
def test_a_stored_change_that_is_not_in_force_says_so(world: World, method: str, suffix: str) -> None:
    key = world.ask("owner", "POST", "/keys", {"name": "x"}).json
    world.slow = True
    answer = world.ask("owner", method, f"/keys/{key['id']}{suffix}")
    assert (answer.status, answer.json["error"]["code"]) == (503, "not_in_force")
    world.slow = False
    assert world.ask("owner", "GET", f"/keys/{key['id']}").json["revoked_at"] is not None


def test_what_is_shown_once_is_shown_even_then(world: World) -> None:
    world.slow = True
    answer = world.ask("owner", "POST", "/keys", {"name": "x"})
    assert answer.status == 201
    assert answer.json["secret"].startswith("sk-")
    answer = world.ask("owner", "POST", f"/keys/{answer.json['id']}/rotate", {"overlap": 0})
    assert answer.status == 200
    assert answer.json["secret"].startswith("sk-")
