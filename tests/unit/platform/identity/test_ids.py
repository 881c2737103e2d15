"""Ids: what they look like, and what is not looked up."""

from __future__ import annotations

import pytest

from abyssal.platform.identity.ids import is_id, new_id


def test_a_new_one_is_one_and_no_other() -> None:
    made = {new_id("key") for _ in range(1000)}
    assert len(made) == 1000
    assert all(is_id(one) and one.startswith("key_") and len(one) == 24 for one in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        "key_",
        "_00",
        "key_0g",
        "KEY_00",
        "key_00\n",
        "key_00\0",
        "key__00",
        "ключ_00",
        "key_" + "0" * 40,
    ],
)
def test_what_is_none(text: str) -> None:
    assert not is_id(text)
