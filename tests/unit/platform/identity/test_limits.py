"""Joining and comparing limits: what is joined is within each part, for any limits."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.platform.identity.limits import Limits, beyond, check_within, clipped, joined
from abyssal.stores.rights import ALL_SCOPES, mask_of
from abyssal.wire.errors import BadRequestError

networks = st.one_of(
    st.builds(
        lambda a, p: str(ip_network((a, p), strict=False)), st.integers(0, 2**32 - 1), st.integers(0, 32)
    ),
    st.builds(
        lambda a, p: str(ip_network((a, p), strict=False)),
        st.integers(2**120, 2**128 - 1),
        st.integers(0, 128),
    ),
    st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]),
)
names = st.sampled_from(["deepseek-chat", "deepseek-math", "deepseek-code"])
limits = st.builds(
    Limits,
    st.integers(0, ALL_SCOPES),
    st.none() | st.lists(names, unique=True).map(tuple),
    st.none() | st.lists(networks, max_size=4, unique=True).map(tuple),
    st.none() | st.integers(1, 10),
)


@given(limits, limits)
def test_what_is_joined_is_within_both(first: Limits, second: Limits) -> None:
    both = joined(first, second)
    assert beyond(both, first, inherits=False) is None
    assert beyond(both, second, inherits=False) is None


@given(limits)
def test_limits_are_within_themselves_and_within_none(one: Limits) -> None:
    assert beyond(one, one, inherits=False) is None
    assert beyond(one, Limits(), inherits=True) is None
    assert joined(one, Limits()) == joined(one)


@given(limits, limits)
def test_what_is_clipped_and_not_refused_is_within_the_giver(wanted: Limits, giver: Limits) -> None:
    given_ = clipped(wanted, giver)
    if beyond(wanted, giver, inherits=True) is None and (
        wanted.expires_at is None or giver.expires_at is None or wanted.expires_at <= giver.expires_at
    ):
        assert beyond(given_, giver, inherits=False) is None
    else:
        assert beyond(given_, giver, inherits=False) is not None


@pytest.mark.parametrize(
    ("child", "parent", "inherits", "field"),
    [
        (Limits(mask_of(["chat", "audio"])), Limits(mask_of(["chat"])), True, "scopes"),
        (Limits(models=("a", "b")), Limits(models=("a",)), True, "models"),
        (Limits(models=None), Limits(models=("a",)), True, None),
        (Limits(models=None), Limits(models=("a",)), False, "models"),
        (Limits(models=()), Limits(models=()), False, None),
        (Limits(networks=("10.0.0.0/7",)), Limits(networks=("10.0.0.0/8",)), True, "networks"),
        (Limits(networks=("10.255.0.0/16",)), Limits(networks=("10.0.0.0/8",)), True, None),
        (Limits(networks=("::/0",)), Limits(networks=("0.0.0.0/0",)), True, "networks"),
        (Limits(expires_at=5), Limits(expires_at=4), False, "expires_at"),
        (Limits(expires_at=None), Limits(expires_at=4), False, "expires_at"),
        (Limits(expires_at=4), Limits(expires_at=4), False, None),
    ],
)
def test_beyond(child: Limits, parent: Limits, inherits: bool, field: str | None) -> None:
    excess = beyond(child, parent, inherits=inherits)
    assert (excess and excess.field) == field


def test_the_refusal_names_what_is_too_much_and_not_all_of_it() -> None:
    child = Limits(models=tuple(f"model-{number}" for number in range(100)))
    with pytest.raises(BadRequestError) as refusal:
        check_within(child, Limits(models=("deepseek-chat",)), "the project")
    assert refusal.value.param == "models"
    assert "model-4 and more" in refusal.value.message
    assert "model-5" not in refusal.value.message
