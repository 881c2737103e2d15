"""Scopes, models, networks and an end, as one value that is joined and compared. Pure.

1. A right exists where every level has it: credential, project, organisation. `joined` folds levels into one.
2. A child may leave a list out: then its parent's is in force. What it names must be within its parent's.
3. Who gives from their own rights gives no more: lists that they leave out become their own (`clipped`).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from abyssal.stores.rights import ALL_SCOPES, mask_of, scopes_of
from abyssal.wire.errors import BadRequestError

Names = tuple[str, ...]
Network = IPv4Network | IPv6Network
_SHOWN = 5  # names that an error lists


class Limits(msgspec.Struct, frozen=True):
    """What one level allows. None is no limit; `expires_at` is in Unix nanoseconds."""

    scopes: int = ALL_SCOPES
    models: Names | None = None
    networks: Names | None = None
    expires_at: int | None = None


class Excess(msgspec.Struct, frozen=True):
    """What a child has beyond its parent: the field, and which values of it (none: the lack of a limit)."""

    field: str
    values: Names


def limits_of(
    scopes: Names | None, models: Names | None, networks: Names | None, expires_at: int | None = None
) -> Limits:
    """A row's columns as limits."""
    return Limits(ALL_SCOPES if scopes is None else mask_of(scopes), models, networks, expires_at)


def joined(*levels: Limits) -> Limits:
    """What all levels allow."""
    scopes = ALL_SCOPES
    models: Names | None = None
    networks: Names | None = None
    for level in levels:
        scopes &= level.scopes
        models = _both(models, level.models)
        networks = _both_networks(networks, level.networks)
    ends = [level.expires_at for level in levels if level.expires_at is not None]
    return Limits(scopes, models, networks, min(ends, default=None))


def beyond(child: Limits, parent: Limits, *, inherits: bool) -> Excess | None:
    """The first thing that `child` has and `parent` has not.

    `inherits`: what the child does not limit, the parent limits in its place.
    """
    scopes = child.scopes & ~parent.scopes
    if scopes:
        return Excess("scopes", scopes_of(scopes))
    for field, own, above in (
        ("models", child.models, parent.models),
        ("networks", child.networks, parent.networks),
    ):
        if above is None or (own is None and inherits):
            continue
        if own is None:
            return Excess(field, ())
        more = (
            _outside(own, above) if field == "networks" else tuple(name for name in own if name not in above)
        )
        if more:
            return Excess(field, more)
    if parent.expires_at is not None and not inherits:
        if child.expires_at is None:
            return Excess("expires_at", ())
        if child.expires_at > parent.expires_at:
            return Excess("expires_at", ("a later end",))
    return None


def clipped(wanted: Limits, giver: Limits) -> Limits:
    """`wanted`, where it names no limit that of `giver`."""
    return Limits(
        wanted.scopes,
        giver.models if wanted.models is None else wanted.models,
        giver.networks if wanted.networks is None else wanted.networks,
        giver.expires_at if wanted.expires_at is None else wanted.expires_at,
    )


def check_within(child: Limits, parent: Limits, whose: str, *, inherits: bool = True) -> None:
    """Raise BadRequestError, `param` the field, when `child` exceeds `parent`, which is `whose`."""
    excess = beyond(child, parent, inherits=inherits)
    if excess is None:
        return
    shown = ", ".join(excess.values[:_SHOWN]) + (" and more" if len(excess.values) > _SHOWN else "")
    raise BadRequestError(
        f'"{excess.field}": {shown or "no limit"} is beyond what {whose} allows; ask for less, '
        f"or have {whose} allow more first.",
        param=excess.field,
        code="beyond_parent",
    )


def _both(first: Names | None, second: Names | None) -> Names | None:
    if first is None or second is None:
        return second if first is None else first
    kept = set(second)
    return tuple(name for name in first if name in kept)


def _both_networks(first: Names | None, second: Names | None) -> Names | None:
    if first is None or second is None:
        return second if first is None else first
    others = _parsed(second)
    found = [
        str(one if _inside(one, other) else other)
        for one in _parsed(first)
        for other in others
        if _inside(one, other) or _inside(other, one)
    ]
    return tuple(dict.fromkeys(found))


def _outside(child: Names, parent: Names) -> Names:
    allowed = _parsed(parent)
    return tuple(
        str(network) for network in _parsed(child) if not any(_inside(network, other) for other in allowed)
    )


def _parsed(networks: Iterable[str]) -> list[Network]:
    return [ip_network(text) for text in networks]


def _inside(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.subnet_of(other)
    return isinstance(other, IPv6Network) and one.subnet_of(other)
