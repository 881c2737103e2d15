"""Sealed values: they open where they belong and nowhere else, and not when a bit of them changed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.stores.sealing import (
    MasterKey,
    Place,
    SealError,
    head_of,
    key_id_of,
    open_sealed,
    rewrapped,
    seal,
)

KEY = MasterKey("mk_0123456789abcdef", bytes(range(32)))
OTHER = MasterKey("mk_fedcba9876543210", bytes(range(32)))  # the same bytes under another id
PLACE = Place("org_1", "secrets", "sec_1")

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
places = st.builds(Place, names, names, names)


@given(st.binary(max_size=200), places)
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, place: Place) -> None:
    assert open_sealed(seal(plaintext, place, KEY), place, KEY) == plaintext


@given(places, places)
def test_in_any_other_place_it_does_not_open(place: Place, other: Place) -> None:
    sealed = seal(b"secret", place, KEY)
    if place == other:
        assert open_sealed(sealed, other, KEY) == b"secret"
        return
    with pytest.raises(SealError):
        open_sealed(sealed, other, KEY)


@pytest.mark.parametrize(
    "other",
    [
        Place("org_1s", "ecrets", "sec_1"),
        Place("org_1", "secretssec_1", ""),
        Place("", "org_1secrets", "sec_1"),
        Place("org_2", "secrets", "sec_1"),
        Place("org_1", "secrets", "sec_2"),
        Place("org_1", "token_keys", "sec_1"),
    ],
)
def test_a_place_is_its_parts_and_not_their_sum(other: Place) -> None:
    with pytest.raises(SealError):
        open_sealed(seal(b"secret", PLACE, KEY), other, KEY)


def test_no_bit_of_it_may_change() -> None:
    sealed = seal(b"secret", PLACE, KEY)
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealError):
            open_sealed(bytes(changed), PLACE, KEY)


def test_no_byte_of_it_may_be_missing() -> None:
    sealed = seal(b"secret", PLACE, KEY)
    for size in range(len(sealed)):
        with pytest.raises(SealError):
            open_sealed(sealed[:size], PLACE, KEY)
    with pytest.raises(SealError):
        open_sealed(sealed + b"\0", PLACE, KEY)


@given(st.binary(max_size=300))
def test_bytes_that_nobody_sealed_are_refused(garbage: bytes) -> None:
    with pytest.raises(SealError):
        open_sealed(garbage, PLACE, KEY)
    with pytest.raises(SealError):
        open_sealed(KEY.head + garbage, PLACE, KEY)
    try:
        assert garbage.startswith(head_of(key_id_of(garbage)))
    except SealError:
        pass


def test_another_key_does_not_open_it_even_with_the_same_bytes() -> None:
    sealed = seal(b"secret", PLACE, KEY)
    with pytest.raises(SealError):
        open_sealed(sealed, PLACE, OTHER)
    swapped = sealed.replace(KEY.id.encode(), OTHER.id.encode())
    with pytest.raises(SealError):
        open_sealed(swapped, PLACE, OTHER)


def test_parts_of_two_values_do_not_make_a_third() -> None:
    one, two = seal(b"one", PLACE, KEY), seal(b"two", PLACE, KEY)
    start = len(KEY.head) + 12 + 48
    with pytest.raises(SealError):
        open_sealed(one[:start] + two[start:], PLACE, KEY)


def test_nothing_is_used_twice() -> None:
    """Data key and nonces are drawn afresh, so a value sealed again has nothing but its head in common."""
    start = len(KEY.head)
    nonces = set[bytes]()
    for _ in range(500):
        sealed = seal(b"secret", PLACE, KEY)
        nonces |= {sealed[start : start + 12], sealed[start + 60 : start + 72]}
    assert len(nonces) == 1000


@given(st.binary(max_size=100), places)
def test_another_master_key_changes_the_wrapping_alone(plaintext: bytes, place: Place) -> None:
    new = MasterKey("mk_00ff", os.urandom(32))
    sealed = seal(plaintext, place, KEY)
    again = rewrapped(sealed, place, KEY, new)
    assert open_sealed(again, place, new) == plaintext
    assert again[len(new.head) + 60 :] == sealed[len(KEY.head) + 60 :]
    assert key_id_of(again) == "mk_00ff"
    with pytest.raises(SealError):
        open_sealed(again, place, KEY)


def test_what_does_not_open_gets_no_new_wrapping() -> None:
    sealed = seal(b"secret", PLACE, KEY)
    broken = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for value, place, old in (
        (broken, PLACE, KEY),
        (sealed, PLACE._replace(row="sec_2"), KEY),
        (sealed, PLACE, OTHER),
    ):
        with pytest.raises(SealError):
            rewrapped(value, place, old, OTHER)


def test_it_names_its_key_and_shows_nothing_else() -> None:
    sealed = seal(b"a secret text", PLACE, KEY)
    assert key_id_of(sealed) == KEY.id
    assert sealed.startswith(head_of(KEY.id))
    assert b"a secret text" not in sealed
    assert repr(KEY) == "MasterKey('mk_0123456789abcdef')"


def test_the_error_is_the_same_whatever_was_wrong() -> None:
    sealed = seal(b"secret", PLACE, KEY)
    messages = set[str]()
    for value, place, key in (
        (sealed[:-1], PLACE, KEY),
        (sealed, PLACE._replace(tenant="org_2"), KEY),
        (sealed, PLACE, OTHER),
        (b"", PLACE, KEY),
    ):
        with pytest.raises(SealError) as caught:
            open_sealed(value, place, key)
        messages.add(caught.value.message)
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("key_id", "key"),
    [
        ("mk_0123", b"x" * 31),
        ("mk_", b"x" * 32),
        ("0123", b"x" * 32),
        ("mk_xyz1", b"x" * 32),
        ("mk_0123\n", b"x" * 32),
    ],
)
def test_what_is_no_master_key(key_id: str, key: bytes) -> None:
    with pytest.raises(ValueError, match="a master key has"):
        MasterKey(key_id, key)
