"""Lists come in pages: oldest first, nothing twice and nothing skipped while others add to them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.platform.identity.tenants import MAIN, OURS, SPARE, THEIRS, World

from abyssal.platform.http.management.endpoints import ENDPOINTS

LISTS = [e.path for e in ENDPOINTS if "limit" in e.query]


def ids(world: World, who: str, path: str, limit: int, **query: str) -> list[str]:
    """Every id, page by page."""
    found: list[str] = []
    asked = {"limit": str(limit), **query}
    for _ in range(1000):
        page = world.ask(who, "GET", path, query=asked).json
        assert set(page) == {"object", "data", "has_more", "next"}
        assert page["object"] == "list"
        assert len(page["data"]) == limit or not page["has_more"]
        found += [one["id"] for one in page["data"]]
        assert (page["next"] is not None) == page["has_more"]
        if not page["has_more"]:
            return found
        asked["after"] = page["next"]
    raise AssertionError("no end")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_pages_of_any_size_are_the_same_list(limit: int, world: World) -> None:
    for number in range(7):
        world.ask("owner", "POST", "/keys", {"name": f"key {number}"})
        if number % 3 == 0:
            world.clock.advance(1)
    found = ids(world, "owner", "/keys", limit)
    assert found == ids(world, "owner", "/keys", 200)
    assert len(found) == len(set(found)) == 5 + 6 + 1 + 7  # askers, of each standing, in SPARE, new


def test_what_is_added_between_pages_comes_last_and_disturbs_nothing(world: World) -> None:
    before = ids(world, "owner", "/keys", 200)
    first = world.ask("owner", "GET", "/keys", query={"limit": "5"}).json
    new = world.ask("owner", "POST", "/keys", {"name": "new"}).json["id"]
    rest = ids(world, "owner", "/keys", 5, after=first["next"])
    assert [one["id"] for one in first["data"]] + rest == [*before, new]


def test_a_list_is_bounded_by_who_asks_and_by_what_is_asked(world: World) -> None:
    def tenants(who: str, **query: str) -> set[tuple[str, str]]:
        page = world.ask(who, "GET", "/clients", query=query).json
        return {(one["organization"], one["project"]) for one in page["data"]}

    assert tenants("owner") == {(OURS, MAIN), (OURS, SPARE)}
    assert tenants("owner", project=SPARE) == {(OURS, SPARE)}
    assert tenants("owner", project=SPARE, organization=OURS) == {(OURS, SPARE)}
    assert tenants("service") == {(OURS, MAIN)}
    assert {organization for organization, _ in tenants("operator")} == {OURS, THEIRS}
    assert {organization for organization, _ in tenants("operator", organization=THEIRS)} == {THEIRS}
    assert {one["id"] for one in world.ask("owner", "GET", "/organizations").json["data"]} == {OURS}
    assert len(world.ask("operator", "GET", "/organizations").json["data"]) == 3
    assert {one["id"] for one in world.ask("service", "GET", "/projects").json["data"]} == {MAIN}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.0", "", " 1", "१", "1e1", "9" * 300])
def test_a_limit_is_from_1_to_200(path: str, limit: str, world: World) -> None:
    answer = world.ask("owner", "GET", path, query={"limit": limit})
    assert (answer.status, answer.param) == (400, "limit")


def test_the_usual_page_has_50(world: World) -> None:
    for number in range(60):
        world.ask("owner", "POST", "/keys", {"name": str(number)})
    page = world.ask("owner", "GET", "/keys").json
    assert (len(page["data"]), page["has_more"]) == (50, True)


def cursor(world: World) -> str:
    return world.ask("owner", "GET", "/keys", query={"limit": "2"}).json["next"]


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_is_of_its_list_only(path: str, world: World) -> None:
    answer = world.ask("owner", "GET", path, query={"after": cursor(world)})
    assert answer.status == (200 if path == "/keys" else 400)


def test_a_forged_cursor_is_refused(world: World) -> None:
    ours = cursor(world)
    raw = base64.urlsafe_b64decode(ours + "=" * (-len(ours) % 4))
    forged = [raw[:16] + raw[16:].replace(b"key_", b"key-"), raw[16:], raw[:-1], raw + b"\0", b"", bytes(60)]
    texts = [base64.urlsafe_b64encode(one).decode().rstrip("=") for one in forged]
    for text in [
        *texts,
        ours + "=",
        ours + "==",
        ours.lower(),
        ours + "A",
        " " + ours,
        "é",
        "\0",
        "A" * 10_000,
    ]:
        answer = world.ask("owner", "GET", "/keys", query={"after": text})
        assert (answer.status, answer.param) == (400, "after"), text[:40]
    assert world.ask("owner", "GET", "/keys", query={"after": ours}).status == 200


def test_no_change_of_a_cursor_is_taken(world: World) -> None:
    ours = cursor(world)

    @given(st.integers(0, len(ours) - 1), st.sampled_from("ABCDEFGHabcdefgh0123456789-_"))
    def changed(place: int, letter: str) -> None:
        text = ours[:place] + letter + ours[place + 1 :]
        assert world.ask("owner", "GET", "/keys", query={"after": text}).status == (
            200 if text == ours else 400
        )

    changed()


def test_a_cursor_gives_no_right(world: World) -> None:
    """Somebody else's cursor is a place in a list, and the list is still the caller's own."""
    everything = world.ask("operator", "GET", "/clients", query={"limit": "1"}).json
    seen = ids(world, "service", "/clients", 200, after=everything["next"])
    assert set(seen) <= set(ids(world, "service", "/clients", 200))
