"""Which object is meant by what somebody typed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from abyssal.cli.finding import find
from abyssal.cli.keys import KEY
from abyssal.cli.management import Object
from abyssal.cli.tenants import MEMBER
from abyssal.wire.errors import ConfigurationError, NotFoundError, PermissionDeniedError

from .scripted_platform import credential, page


class Keys:
    """The routes of a platform that has these keys; pages of two."""

    def __init__(self, *keys: Object) -> None:
        self.keys = keys
        self.asked: list[str] = []

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
    ) -> Object:
        assert (method, json) == ("GET", None)
        self.asked.append(path)
        if path == "/keys":
            start = int((query or {}).get("after", "0"))
            rest = self.keys[start + 2 :]
            return page(*self.keys[start : start + 2], after=str(start + 2) if rest else None)
        for key in self.keys:
            if path == f"/keys/{key['id']}":
                return key
        raise NotFoundError("There is no such object.")


LAPTOP, CI, PHONE = credential(1, "laptop"), credential(2, "ci"), credential(3, "phone")


def test_an_id_is_asked_for_at_once() -> None:
    platform = Keys(LAPTOP, CI, PHONE)
    assert find(platform, KEY, PHONE["id"], {}) == PHONE
    assert platform.asked == [f"/keys/{PHONE['id']}"]


def test_a_name_is_looked_for_on_every_page() -> None:
    assert find(Keys(LAPTOP, CI, PHONE), KEY, "phone", {}) == PHONE


def test_a_name_that_looks_like_an_id_is_found_too() -> None:
    odd = credential(4, "key_0000000000000000")
    assert find(Keys(LAPTOP, odd), KEY, odd["name"], {}) == odd


def test_a_name_that_two_have_is_refused_with_their_ids() -> None:
    other = credential(9, "laptop")
    with pytest.raises(ConfigurationError, match=f"2 keys named .laptop.*{LAPTOP['id']}, {other['id']}"):
        find(Keys(LAPTOP, CI, other), KEY, "laptop", {})


def test_a_revoked_one_does_not_count_beside_a_live_one() -> None:
    gone = credential(9, "laptop", revoked_at="2026-11-20T11:00:00Z")
    assert find(Keys(gone, LAPTOP), KEY, "laptop", {}) == LAPTOP
    assert find(Keys(gone, CI), KEY, "laptop", {}) == gone


def test_two_revoked_ones_of_a_name_are_two() -> None:
    gone = [credential(n, "laptop", revoked_at="2026-11-20T11:00:00Z") for n in (7, 8)]
    with pytest.raises(ConfigurationError, match="2 keys"):
        find(Keys(*gone), KEY, "laptop", {})


@pytest.mark.parametrize("typed", ["laptpo", "Laptop", LAPTOP["id"][:-1], LAPTOP["id"][:-1] + "a"])
def test_a_typo_names_what_is_near(typed: str) -> None:
    with pytest.raises(ConfigurationError, match=LAPTOP["id"]) as caught:
        find(Keys(LAPTOP, credential(0xFFFF_FFFF_FFFF_FFFF, "build server")), KEY, typed, {})
    assert "near" in caught.value.message
    assert "build server" not in caught.value.message


def test_without_anything_near_the_list_is_named() -> None:
    with pytest.raises(ConfigurationError, match='There is no key "xyzzy"; `abyssal keys list` shows them'):
        find(Keys(LAPTOP), KEY, "xyzzy", {})
    with pytest.raises(ConfigurationError, match="abyssal keys list"):
        find(Keys(), KEY, "laptop", {})


def test_for_a_typo_in_an_id_not_every_page_is_read() -> None:
    platform = Keys(*[credential(number, f"n{number}") for number in range(3000)])
    with pytest.raises(ConfigurationError):
        find(platform, KEY, "key_ffffffffffffffffffff", {})
    assert len(platform.asked) <= 502


def test_a_word_is_never_part_of_a_path() -> None:
    platform = Keys(LAPTOP)
    for word in ("../projects", "a/b?c", "key_0000000000000000/rotate", "", "é" * 300):
        with pytest.raises(ConfigurationError):
            find(platform, KEY, word, {})
    assert set(platform.asked) == {"/keys"}


def test_who_may_not_look_is_told_so() -> None:
    class Closed:
        def request(
            self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
        ) -> Object:
            raise PermissionDeniedError("This credential lacks the scope admin.")

    with pytest.raises(PermissionDeniedError):
        find(Closed(), KEY, LAPTOP["id"], {})


def test_a_member_is_found_by_address_too() -> None:
    ada = {"id": "user_" + "a" * 20, "email": "ada@example.com", "name": "Ada", "role": "owner"}

    class Members:
        def request(
            self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
        ) -> Object:
            return page(ada)

    for word in ("ada@example.com", "Ada", ada["id"]):
        assert find(Members(), MEMBER, word, {}) is not None
    with pytest.raises(ConfigurationError, match=r"near ones: ada@example.com \(user_a+\)"):
        find(Members(), MEMBER, "ada@exmaple.com", {})
